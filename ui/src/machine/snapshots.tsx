// Snapshots as a tree: each below its machine, the oldest first.

import type { JSX } from "preact";
import { call, get, path } from "../api/call";
import { touch } from "../api/live";
import { useLoaded } from "../api/loaded";
import type { Snapshot } from "../api/model";
import { mayChange } from "../api/session";
import { useCell } from "../cell";
import { Empty, Ready } from "../parts/basics";
import { ask } from "../parts/dialog";
import { begin } from "../parts/work";
import { cleanName } from "../text/clean";
import { age, bytes, mebibytes } from "../text/units";

/** Snapshots of one machine, or of all. */
export function Snapshots({ machine }: { machine?: string }): JSX.Element {
  const snapshots = useLoaded((signal) => get<Snapshot[]>("/v1/snapshots", { machine }, signal), machine ?? "", ["snapshot"]);
  return (
    <Ready of={snapshots}>{(all) => all.length === 0
      ? <Empty title="No snapshots">A snapshot saves the memory and the disk of a machine, to go back to.</Empty>
      : (
        <ul class="tree">
          {[...byMachine(all)].map(([name, own]) => (
            <li key={name}>
              <strong>{cleanName(name)}</strong>
              <ul>{own.map((one) => <li key={one.id}><Row snapshot={one} /></li>)}</ul>
            </li>
          ))}
        </ul>
      )}
    </Ready>
  );
}

function byMachine(all: Snapshot[]): Map<string, Snapshot[]> {
  const found = new Map<string, Snapshot[]>();
  for (const one of [...all].sort((a, b) => a.created.localeCompare(b.created))) {
    found.set(one.machine, [...found.get(one.machine) ?? [], one]);
  }
  return found;
}

function Row({ snapshot }: { snapshot: Snapshot }): JSX.Element {
  const may = useCell(mayChange);
  const at = path`/v1/snapshots/${snapshot.machine}/${snapshot.tag}`;
  const name = `${snapshot.machine}:${snapshot.tag}`;
  return (
    <div class="tree-row">
      <span class="name">{cleanName(snapshot.tag)}</span>
      <span class="muted">{age(snapshot.created)} ago · {cleanName(snapshot.image)} · {mebibytes(snapshot.spec.memory_mib)} · takes {bytes(snapshot.size_bytes)}</span>
      <span class="actions">
        {may && <button class="quiet" aria-label={`Go back to ${name}`} onClick={() => ask({
          title: `Go back to ${name}?`,
          body: <p>What {snapshot.machine} has in memory and on its disk now is lost, and replaced by the snapshot of {age(snapshot.created)} ago.</p>,
          action: "Go back",
          danger: true,
          act: () => begin(path`/v1/machines/${snapshot.machine}/restore`, { tag: snapshot.tag }),
        })}>Go back</button>}
        <a class="button quiet" aria-label={`Export ${name}`} href={`${at}/export`} download={`${snapshot.machine}-${snapshot.tag}.tar.zst`}>Export</a>
        {may && <button class="quiet danger-text" aria-label={`Delete ${name}`} onClick={() => ask({
          title: `Delete ${name}?`,
          body: <p>This takes away the snapshot for good, and frees {bytes(snapshot.size_bytes)}. The machine stays as it is.</p>,
          action: "Delete",
          danger: true,
          act: async () => {
            await call("DELETE", at);
            touch("snapshot");
          },
        })}>Delete</button>}
      </span>
    </div>
  );
}
