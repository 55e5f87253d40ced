// Frozen machines: templates, from which machines start at once, and all snapshots.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { call, type Failure, failureOf, get, path } from "../api/call";
import { touch } from "../api/live";
import { useLoaded } from "../api/loaded";
import type { Pruned, Template } from "../api/model";
import { mayChange } from "../api/session";
import { useCell } from "../cell";
import { Snapshots } from "../machine/snapshots";
import { Complaint, Empty, Page, Ready, Section } from "../parts/basics";
import { ask } from "../parts/dialog";
import { cleanName } from "../text/clean";
import { age, bytes, count, mebibytes } from "../text/units";

export function TemplatesPage(): JSX.Element {
  const may = useCell(mayChange);
  const templates = useLoaded((signal) => get<Template[]>("/v1/templates", {}, signal), "", ["template"]);
  const [failure, setFailure] = useState<Failure>();
  return (
    <Page title="Templates and snapshots" actions={may && (
      <button onClick={() => void askToPrune().catch((reason: unknown) => setFailure(failureOf(reason)))}>Prune templates</button>
    )}>
      {failure && <Complaint failure={failure} />}
      <Section title="Templates">
        <Ready of={templates}>{(all) => all.length === 0
          ? <Empty title="No templates yet">banger makes one at the first start of an image, and starts all further machines from it.</Empty>
          : (
            <ul class="rows">{all.map((one) => (
              <li key={one.id}>
                <strong>{cleanName(one.image)}</strong>
                <span class="muted"><code>{one.id.slice(0, 12)}</code> · {one.shape.driver} {one.shape.accel} · {count(one.shape.cpus, "CPU")}, {mebibytes(one.shape.memory_mib)}
                  {" "}· takes {bytes(one.size_bytes)} · used {age(one.used)} ago · {count(one.ready, "clone")} ready</span>
                {one.stale && <span class="warning">{cleanName(one.stale)}</span>}
                {may && <button class="quiet danger-text" aria-label={`Delete the template of ${cleanName(one.image)}`} onClick={() => ask({
                  title: `Delete the template of ${cleanName(one.image)}?`,
                  body: <p>This frees {bytes(one.size_bytes)}. Running machines stay; the next start of this image boots, and makes a template again.</p>,
                  action: "Delete",
                  danger: true,
                  act: async () => {
                    await call("DELETE", path`/v1/templates/${one.id}`);
                    touch("template");
                  },
                })}>Delete</button>}
              </li>
            ))}</ul>
          )}
        </Ready>
      </Section>
      <Section title="Snapshots"><Snapshots /></Section>
    </Page>
  );
}

async function askToPrune(): Promise<void> {
  const [due, all] = await Promise.all([
    call<Pruned>("POST", "/v1/templates/prune", { query: { dry_run: true } }),
    call<Pruned>("POST", "/v1/templates/prune", { query: { dry_run: true, all: true } }),
  ]);
  ask({
    title: "Prune templates?",
    body: (
      <>
        <p>This takes away {count(due.count, "template")} that {due.count === 1 ? "is" : "are"} stale or unused for 30 days, and frees <strong>{bytes(due.freed_bytes)}</strong>.</p>
        <p class="muted">All {count(all.count, "template")} take {bytes(all.freed_bytes)}: <code>banger template prune --all</code>.</p>
      </>
    ),
    action: "Prune",
    danger: true,
    act: async () => {
      await call("POST", "/v1/templates/prune");
      touch("template");
    },
  });
}
