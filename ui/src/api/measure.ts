// What running machines use, measured every two seconds for those that are in sight. To measure counts as use: a
// machine that banger pauses when it is idle is left alone.

import { Cell, useCell } from "../cell";
import { useEffect } from "preact/hooks";
import { get, path } from "./call";
import { machines } from "./live";
import type { Machine, Stats } from "./model";

export interface Sample {
  at: number;
  cpu: number; // share of all processors of the machine, 0 to 1
  memory: number; // bytes in use
  read: number; // bytes per second, as all that follow
  written: number;
  received: number;
  sent: number;
}

export interface Measured {
  samples: readonly Sample[];
  latest: Stats | undefined;
}

const EVERY_MS = 2000;
const KEPT = 300;
const AT_ONCE = 3;
const NOTHING: Measured = { samples: [], latest: undefined };
const wanted = new Map<string, number>();
const cells = new Map<string, Cell<Measured>>();
let timer = 0;

export function canBeMeasured(machine: Machine): boolean {
  return machine.state === "running" && machine.spec.idle_pause_s === 0;
}

/** The latest samples of a machine, for as long as the component is there. */
export function useMeasured(id: string): Measured {
  const cell = cells.get(id) ?? new Cell(NOTHING);
  cells.set(id, cell);
  useEffect(() => {
    wanted.set(id, (wanted.get(id) ?? 0) + 1);
    if (!timer) timer = setTimeout(round, 0);
    return () => {
      const left = (wanted.get(id) ?? 1) - 1;
      if (left) wanted.set(id, left);
      else wanted.delete(id);
    };
  }, [id]);
  return useCell(cell);
}

async function round(): Promise<void> {
  const due = document.hidden ? [] : [...wanted.keys()].filter((id) => {
    const machine = machines.value?.get(id);
    return machine && canBeMeasured(machine);
  });
  const next = async (): Promise<void> => {
    for (let id = due.shift(); id !== undefined; id = due.shift()) await measure(id);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
  timer = wanted.size ? setTimeout(round, EVERY_MS) : 0;
}

async function measure(id: string): Promise<void> {
  const cell = cells.get(id);
  const latest = await get<Stats>(path`/v1/machines/${id}/stats`).catch(() => undefined);
  if (!cell || !latest) return;
  const sample = cell.value.latest && sampleOf(cell.value.latest, latest);
  cell.set({ latest, samples: sample ? [...cell.value.samples.slice(1 - KEPT), sample] : cell.value.samples });
}

function sampleOf(before: Stats, now: Stats): Sample | undefined {
  const passed = now.guest.uptime_s - before.guest.uptime_s;
  if (passed <= 0) return undefined; // it has booted again
  const busy = now.guest.cpu_busy_s - before.guest.cpu_busy_s;
  const all = busy + now.guest.cpu_idle_s - before.guest.cpu_idle_s;
  const rate = (sum: (stats: Stats) => number): number => Math.max(0, (sum(now) - sum(before)) / passed);
  return {
    at: Date.now() / 1000,
    cpu: all > 0 ? Math.min(1, Math.max(0, busy / all)) : 0,
    memory: now.guest.memory_total_bytes - now.guest.memory_available_bytes,
    read: rate((stats) => total(stats.guest.disks.map((disk) => disk.read_bytes))),
    written: rate((stats) => total(stats.guest.disks.map((disk) => disk.written_bytes))),
    received: rate((stats) => total(stats.guest.networks.map((network) => network.received_bytes))),
    sent: rate((stats) => total(stats.guest.networks.map((network) => network.sent_bytes))),
  };
}

function total(numbers: number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}
