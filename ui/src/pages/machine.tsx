// One machine: what it is and uses, its terminal, log, files, network, snapshots and events.

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { type Failure, failureOf, get, path } from "../api/call";
import { keep, machineNamed, machines } from "../api/live";
import { canBeMeasured, useMeasured } from "../api/measure";
import type { Exec, Machine } from "../api/model";
import { useLoaded } from "../api/loaded";
import { mayChange } from "../api/session";
import { useCell } from "../cell";
import { Actions, isLive } from "../machine/actions";
import { ConsolePanel } from "../machine/console";
import { EventsPanel } from "../machine/events";
import { FilesPanel } from "../machine/files";
import { NetworkPanel } from "../machine/network";
import { Snapshots } from "../machine/snapshots";
import { Ports, State } from "../machine/state";
import { Complaint, Empty, Facts, Page, Ready, Section } from "../parts/basics";
import { lazy } from "../parts/lazy";
import { address, Go, navigate } from "../router";
import { cleanName } from "../text/clean";
import { age, bytes, duration, mebibytes, moment } from "../text/units";

const Charts = lazy(() => import("../machine/charts"));
const TerminalPanel = lazy(() => import("../machine/terminal"));

const TABS: Array<[string, string]> = [
  ["overview", "Overview"], ["terminal", "Terminal"], ["log", "Log"], ["files", "Files"], ["network", "Network"],
  ["snapshots", "Snapshots"], ["events", "Events"],
];

export function MachinePage({ name }: { name: string }): JSX.Element {
  const all = useCell(machines);
  const machine = machineNamed(name);
  const [failure, setFailure] = useState<Failure>();
  const tab = new URLSearchParams(useCell(address).split("?")[1]).get("tab") ?? "overview";
  useEffect(() => {
    if (all && !machine) get<Machine>(path`/v1/machines/${name}`).then(keep, (reason: unknown) => setFailure(failureOf(reason)));
  }, [name, all === undefined]);
  if (!machine) {
    return (
      <Page title={cleanName(name)}>
        {failure ? <Complaint failure={failure} /> : !all ? <div class="waiting" aria-busy="true">Loading …</div>
          : <Empty title="There is no such machine">It may have been deleted. Go to <Go to="/">all machines</Go>.</Empty>}
      </Page>
    );
  }
  return (
    <Page title={cleanName(machine.name)} actions={<Actions machine={machine} onFailure={(reason) => setFailure(failureOf(reason))} />}>
      <p class="subtitle"><State machine={machine} /><span class="muted">{cleanName(machine.spec.image)}</span><Ports ports={machine.network.ports} />
        {machine.reason && <span class="muted">{cleanName(machine.reason)}</span>}</p>
      {failure && <Complaint failure={failure} />}
      {machine.warnings.map((warning) => <p class="warning" key={warning}>{cleanName(warning)}</p>)}
      <Tabs current={tab} go={(to) => navigate(`${path`/machines/${machine.name}`}${to === "overview" ? "" : `?tab=${to}`}`, true)} />
      <div class="panel" role="tabpanel" id="panel" aria-labelledby={`tab-${tab}`}>
        <Panel tab={tab} machine={machine} />
      </div>
    </Page>
  );
}

function Tabs({ current, go }: { current: string; go: (tab: string) => void }): JSX.Element {
  useEffect(() => document.getElementById(`tab-${current}`)?.scrollIntoView({ block: "nearest", inline: "nearest" }), [current]);
  const move = (event: KeyboardEvent, index: number): void => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    const next = TABS[(index + step + TABS.length) % TABS.length];
    if (!step || !next) return;
    go(next[0]);
    document.getElementById(`tab-${next[0]}`)?.focus();
  };
  return (
    <div class="tabs" role="tablist" aria-label="Parts of the machine">
      {TABS.map(([key, title], index) => (
        <button key={key} id={`tab-${key}`} role="tab" aria-selected={key === current} aria-controls="panel"
          tabIndex={key === current ? 0 : -1} onClick={() => go(key)} onKeyDown={(event) => move(event, index)}>{title}</button>
      ))}
    </div>
  );
}

function Panel({ tab, machine }: { tab: string; machine: Machine }): JSX.Element {
  const may = useCell(mayChange);
  switch (tab) {
    case "terminal":
      if (!may) return <Empty title="No terminal">This session may only read.</Empty>;
      return <Running machine={machine}><TerminalPanel key={`${machine.id} ${machine.started}`} machine={machine} /></Running>;
    case "log":
      return <ConsolePanel machine={machine} />;
    case "files":
      return <Running machine={machine}>{may ? <FilesPanel key={machine.id} machine={machine} />
        : <Empty title="No files">This session may only read what banger knows, not what is in a machine.</Empty>}</Running>;
    case "network":
      return <NetworkPanel machine={machine} />;
    case "snapshots":
      return <Snapshots machine={machine.name} />;
    case "events":
      return <EventsPanel machine={machine} />;
    default:
      return <Overview machine={machine} />;
  }
}

/** What needs a running guest; while it starts, the place says so. */
function Running({ machine, children }: { machine: Machine; children: ComponentChildren }): JSX.Element {
  if (machine.state === "running" || machine.state === "paused") return <>{children}</>;
  if (machine.state === "starting") return <div class="waiting tall" aria-busy="true">The machine starts …</div>;
  return <Empty title="The machine does not run">Start it to use this.</Empty>;
}

function Overview({ machine }: { machine: Machine }): JSX.Element {
  const { spec } = machine;
  const { latest } = useMeasured(machine.id);
  const measured = canBeMeasured(machine) ? latest : undefined;
  return (
    <>
      <Charts machine={machine} />
      <div class="columns">
        <Section title="Machine">
          <Facts rows={[
            ["Image", spec.image], ["Kernel", machine.kernel], ["Id", machine.id], ["Created", moment(machine.created)],
            ["Started", machine.started && `${moment(machine.started)}, ${age(machine.started)} ago`],
            ["Up", measured && duration(measured.guest.uptime_s)],
            ["Command", commandOf(machine)], ["Restart", spec.restart], ["Deleted after", spec.ttl_s ? duration(spec.ttl_s) : ""],
            ["Exit code", machine.exit ? String(machine.exit.code) : ""],
            ["Labels", Object.entries(spec.labels).map(([key, value]) => `${key}=${value}`).join(", ")],
          ]} />
        </Section>
        <Section title="Host">
          <Facts rows={[
            ["Driver", [machine.driver, machine.driver_version].filter(Boolean).join(" ")],
            ["Accelerator", [machine.accel, machine.accel_reason].filter(Boolean).join(": ")],
            ["Processors", String(spec.cpus)], ["Memory", mebibytes(spec.memory_mib)], ["Disk", bytes(spec.disk_bytes)],
            ["Disk in use", measured && `${bytes(measured.guest.root_total_bytes - measured.guest.root_available_bytes)}, ${bytes(measured.vmm.disk_bytes)} on the host`],
            ["VMM", measured && `${bytes(measured.vmm.memory_rss_bytes)} of memory, ${measured.vmm.threads} threads`],
            ["Limits", Object.entries(machine.limits).map(([key, value]) => `${key} ${value}`).join(", ")],
            ["Jail", machine.confinement.layers.join(", ")],
            ["Directories of the host", spec.mounts.map((one) => `${one.target} is ${one.source}${one.read_only ? " (read-only)" : ""}`).join(", ")],
          ]} />
        </Section>
      </div>
      {isLive(machine) && machine.spec.idle_pause_s === 0 && <Commands machine={machine} />}
    </>
  );
}

function Commands({ machine }: { machine: Machine }): JSX.Element {
  const execs = useLoaded((signal) => get<Exec[]>(path`/v1/machines/${machine.id}/execs`, {}, signal), `${machine.id} ${machine.state}`);
  return (
    <Section title="Commands" actions={<button onClick={execs.again}>Look again</button>}>
      <Ready of={execs}>{(all) => all.length === 0 ? <Empty title="No commands">A terminal, or banger exec, starts one.</Empty> : (
        <ul class="rows">
          {all.map((one) => (
            <li key={one.id}>
              <code>{cleanName(one.argv.join(" ") || "login shell").slice(0, 200)}</code>
              <span class="muted">{one.main ? "main command, " : ""}{one.running ? `runs since ${moment(one.started)}` : `ended with ${one.exit?.code ?? "?"}`}</span>
            </li>
          ))}
        </ul>
      )}</Ready>
    </Section>
  );
}

function commandOf(machine: Machine): string {
  const command = machine.spec.command;
  return command ? [...command.entrypoint ?? [], ...command.argv].join(" ") : "";
}
