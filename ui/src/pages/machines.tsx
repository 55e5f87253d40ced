// All machines: their state, what they use, and where their ports are.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { type Failure, failureOf, get, path } from "../api/call";
import { machines } from "../api/live";
import { useLoaded } from "../api/loaded";
import { canBeMeasured, useMeasured } from "../api/measure";
import type { DiskUsage, Machine } from "../api/model";
import { mayChange } from "../api/session";
import { useCell } from "../cell";
import { Actions } from "../machine/actions";
import { Ports, State } from "../machine/state";
import { Complaint, Empty, Page, Spark } from "../parts/basics";
import { Virtual } from "../parts/virtual";
import { Go } from "../router";
import { cleanName } from "../text/clean";
import { age, bytes, count, mebibytes, percent } from "../text/units";

const COLUMNS = ["Machine", "State", "Processor", "Memory", "Ports", "Accelerator", "Age", "Actions"];

export function MachinesPage(): JSX.Element {
  const all = useCell(machines);
  const may = useCell(mayChange);
  const [wanted, setWanted] = useState("");
  const [failure, setFailure] = useState<Failure>();
  const list = [...(all?.values() ?? [])].reverse();
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = list.filter((machine) => words.every((word) => haystack(machine).includes(word)));
  return (
    <Page title="Machines" actions={may && <Go to="/new" class="button primary">New machine</Go>}>
      <Overview machines={list} />
      {failure && <Complaint failure={failure} />}
      <div class="toolbar">
        <input type="search" placeholder="Filter by name, image or state" aria-label="Filter machines" value={wanted}
          onInput={(event) => setWanted(event.currentTarget.value)} />
        <span class="muted" aria-live="polite">{all && (words.length ? `${shown.length} of ${list.length}` : count(list.length, "machine"))}</span>
      </div>
      {!all ? <div class="waiting" aria-busy="true">Loading …</div>
        : list.length === 0 ? (
          <Empty title="No machines yet">
            {may ? <Go to="/new">Create a machine</Go> : "Create one"}, or run <code>banger run -it debian-bookworm</code>.
          </Empty>
        ) : shown.length === 0 ? <Empty title="No machine fits">Change or clear the filter.</Empty>
        : <Virtual rows={shown} columns={COLUMNS} label="Machines" kind="machines" keyOf={(machine) => machine.id}
            cells={(machine) => [
              <Name machine={machine} />, <State machine={machine} />, <Processor machine={machine} />, <Memory machine={machine} />,
              <Ports ports={machine.network.ports} />, <span>{machine.accel || "–"}</span>,
              <span title={machine.created}>{age(machine.created)}</span>,
              <Actions machine={machine} only={["Start", "Stop", "Delete"]} onFailure={(reason) => setFailure(failureOf(reason))} />,
            ]} />}
    </Page>
  );
}

function haystack(machine: Machine): string {
  return `${machine.name} ${machine.spec.image} ${machine.state}`.toLowerCase();
}

function Name({ machine }: { machine: Machine }): JSX.Element {
  return (
    <>
      <Go to={path`/machines/${machine.name}`} class="name" title={cleanName(machine.name)}>{cleanName(machine.name)}</Go>
      <small class="muted" title={cleanName(machine.spec.image)}>{cleanName(machine.spec.image)}</small>
    </>
  );
}

function Processor({ machine }: { machine: Machine }): JSX.Element {
  const { samples } = useMeasured(machine.id);
  const latest = samples.at(-1);
  if (!latest || !canBeMeasured(machine)) return <span class="muted measure">{count(machine.spec.cpus, "CPU")}</span>;
  return (
    <span class="measure">
      <Spark values={samples.map((sample) => sample.cpu)} max={1} label={`Processor: ${percent(latest.cpu)}`} />
      <span class="number">{percent(latest.cpu)}</span>
    </span>
  );
}

function Memory({ machine }: { machine: Machine }): JSX.Element {
  const { samples, latest } = useMeasured(machine.id);
  const used = samples.at(-1)?.memory;
  if (used === undefined || !latest || !canBeMeasured(machine)) return <span class="muted measure">{mebibytes(machine.spec.memory_mib)}</span>;
  return (
    <span class="measure">
      <Spark values={samples.map((sample) => sample.memory)} max={latest.guest.memory_total_bytes} label={`Memory: ${bytes(used)}`} />
      <span class="number">{bytes(used)}</span>
    </span>
  );
}

function Overview({ machines: list }: { machines: Machine[] }): JSX.Element {
  const usage = useLoaded((signal) => get<DiskUsage>("/v1/system/df", {}, signal), "", ["machine", "image", "template", "snapshot"]);
  const running = list.filter((machine) => machine.state === "running").length;
  const rooms = usage.value?.rooms ?? [];
  const used = rooms.reduce((sum, room) => sum + room.bytes, 0);
  return (
    <ul class="tiles" aria-label="Overview">
      <li><span>Running</span><strong>{running}</strong><small>of {count(list.length, "machine")}</small></li>
      <li><span>Memory given</span><strong>{mebibytes(list.filter((one) => one.state === "running").reduce((sum, one) => sum + one.spec.memory_mib, 0))}</strong><small>to running machines</small></li>
      <li><span>Disk used</span><strong>{usage.value ? bytes(used) : "…"}</strong>
        <small>{usage.value ? `${bytes(rooms.reduce((sum, room) => sum + room.reclaimable_bytes, 0))} can be freed` : " "}</small></li>
      <li><span>Disk free</span><strong>{usage.value ? bytes(usage.value.free_bytes) : "…"}</strong><small>on this host</small></li>
    </ul>
  );
}
