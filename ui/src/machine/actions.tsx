// What a person can do with a machine. What takes something away is asked about first, and the question says what.

import type { JSX } from "preact";
import { call, get, path } from "../api/call";
import { keep } from "../api/live";
import type { Machine, Snapshot } from "../api/model";
import { mayChange } from "../api/session";
import { ask } from "../parts/dialog";
import { begin } from "../parts/work";
import { navigate } from "../router";
import { useCell } from "../cell";
import { count } from "../text/units";

const LIVE = ["starting", "running", "paused", "stopping"];
const TAG = "[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}";
const NAME = "[a-z0-9][a-z0-9_.\\-]{0,59}";

export function isLive(machine: Machine): boolean {
  return LIVE.includes(machine.state);
}

function at(machine: Machine): string {
  return path`/v1/machines/${machine.id}`;
}

function stop(machine: Machine): void {
  ask({
    title: `Stop ${machine.name}?`,
    body: <p>All commands in the machine end, and what is only in its memory is lost. Its disk stays.</p>,
    action: "Stop",
    act: () => begin(`${at(machine)}/stop`, {}),
  });
}

function kill(machine: Machine): void {
  ask({
    title: `Kill ${machine.name}?`,
    body: <p>The machine ends at once, as if its power had failed. Data that its programs have not written yet is lost.</p>,
    action: "Kill",
    danger: true,
    act: () => call("POST", `${at(machine)}/kill`),
  });
}

async function remove(machine: Machine): Promise<void> {
  const snapshots = await get<Snapshot[]>("/v1/snapshots", { machine: machine.name }).catch(() => []);
  ask({
    title: `Delete ${machine.name}?`,
    body: (
      <>
        <p>This takes away, for good:</p>
        <ul>
          <li>its disk, with all files in it</li>
          {isLive(machine) && <li>the running machine, with all commands in it</li>}
          {machine.network.ports.length > 0 && <li>{count(machine.network.ports.length, "published port")}</li>}
          <li>its console log and its record</li>
        </ul>
        {snapshots.length > 0 && <p>{count(snapshots.length, "snapshot")} of it {snapshots.length === 1 ? "stays" : "stay"}.</p>}
      </>
    ),
    action: "Delete",
    danger: true,
    act: async () => {
      await call("DELETE", at(machine), { query: { force: isLive(machine) } });
      if (location.pathname === path`/machines/${machine.name}`) navigate("/");
    },
  });
}

function snapshot(machine: Machine): void {
  ask({
    title: `Snapshot of ${machine.name}`,
    body: <p>Memory and disk are saved under a tag. The machine goes on.</p>,
    action: "Save",
    field: { label: "Tag", pattern: TAG, hint: "letters, digits, dots and dashes" },
    act: (tag) => begin(`${at(machine)}/snapshot`, { tag }),
  });
}

function fork(machine: Machine): void {
  ask({
    title: `Fork ${machine.name}`,
    body: <p>A running copy, with the same memory and disk from now on.</p>,
    action: "Fork",
    field: { label: "Name of the copy", optional: true, pattern: NAME, hint: `empty: ${machine.name}-1` },
    act: (name) => begin(`${at(machine)}/fork`, { name }),
  });
}

function commit(machine: Machine): void {
  ask({
    title: `Image of ${machine.name}`,
    body: <p>The machine's disk becomes an image, from which new machines can start.</p>,
    action: "Commit",
    field: { label: "Name of the image" },
    act: (image) => begin(`${at(machine)}/commit`, { image }),
  });
}

interface Action {
  name: string;
  fits: (machine: Machine) => boolean;
  act: (machine: Machine) => unknown;
}

const running = (machine: Machine): boolean => machine.state === "running";
const awake = (machine: Machine): boolean => machine.state === "running" || machine.state === "paused";

const ACTIONS: Action[] = [
  { name: "Start", fits: (machine) => !isLive(machine) && machine.state !== "deleting", act: (machine) => begin(`${at(machine)}/start`) },
  { name: "Stop", fits: awake, act: stop },
  { name: "Restart", fits: running, act: (machine) => begin(`${at(machine)}/restart`, {}) },
  { name: "Pause", fits: running, act: async (machine) => keep(await call<Machine>("POST", `${at(machine)}/pause`)) },
  { name: "Resume", fits: (machine) => machine.state === "paused", act: async (machine) => keep(await call<Machine>("POST", `${at(machine)}/resume`)) },
  { name: "Snapshot", fits: awake, act: snapshot },
  { name: "Fork", fits: awake, act: fork },
  { name: "Commit", fits: (machine) => machine.has_started || machine.state === "stopped", act: commit },
  { name: "Kill", fits: isLive, act: kill },
  { name: "Delete", fits: (machine) => machine.state !== "deleting", act: remove },
];

const DANGEROUS = ["Kill", "Delete"];

export function Actions({ machine, only, onFailure }: { machine: Machine; only?: string[]; onFailure: (reason: unknown) => void }): JSX.Element | null {
  if (!useCell(mayChange)) return null;
  const shown = ACTIONS.filter((action) => action.fits(machine) && (!only || only.includes(action.name)));
  return (
    <>
      {shown.map((action) => (
        <button key={action.name} class={DANGEROUS.includes(action.name) ? "quiet danger-text" : "quiet"}
          aria-label={only && `${action.name} ${machine.name}`}
          onClick={() => void Promise.resolve(action.act(machine)).catch(onFailure)}>
          {action.name}
        </button>
      ))}
    </>
  );
}
