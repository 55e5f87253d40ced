// The machines as they are now: loaded once, and kept true by the daemon's events. A hidden page hears nothing, since a
// browser opens only six connections to a server for all pages together.

import { Cell } from "../cell";
import { get, path, send, valuesOf } from "./call";
import type { Event, Machine } from "./model";

export type Noun = "machine" | "image" | "kernel" | "template" | "snapshot" | "network" | "operation" | "catalog";
export type Link = "connecting" | "live" | "lost";

export const machines = new Cell<ReadonlyMap<string, Machine> | undefined>(undefined);
/** How often something of each kind has changed: what shows such things loads again. */
export const changes = new Cell<Partial<Record<Noun, number>>>({});
export const link = new Cell<Link>("connecting");

const PAUSE_MS = 1000;
const asked = new Map<string, boolean>();

export function touch(noun: Noun): void {
  changes.set({ ...changes.value, [noun]: (changes.value[noun] ?? 0) + 1 });
}

/** Take over what an answer says of a machine. */
export function keep(machine: Machine): void {
  const now = new Map(machines.value);
  now.set(machine.id, machine);
  machines.set(now);
}

export function machineNamed(name: string): Machine | undefined {
  for (const machine of machines.value?.values() ?? []) if (machine.name === name) return machine;
  return undefined;
}

export function follow(): void {
  let leaving = new AbortController();
  const run = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      try {
        await hear(signal);
      } catch {
        // The next round asks again.
      }
      if (signal.aborted) return;
      link.set("lost");
      await new Promise((done) => setTimeout(done, PAUSE_MS));
    }
  };
  const settle = (): void => {
    leaving.abort();
    leaving = new AbortController();
    if (!document.hidden) void run(leaving.signal);
  };
  document.addEventListener("visibilitychange", settle);
  settle();
}

async function hear(signal: AbortSignal): Promise<void> {
  // What happens between the two answers is heard, too.
  const events = await send("GET", "/v1/events", { query: { follow: true }, signal });
  const list = await get<Machine[]>("/v1/machines", {}, signal);
  machines.set(new Map(list.map((machine) => [machine.id, machine])));
  for (const noun of ["image", "template", "snapshot", "network", "operation", "catalog"] as const) touch(noun);
  link.set("live");
  for await (const event of valuesOf<Event>(events)) take(event);
}

function take(event: Event): void {
  const noun = event.kind.split(".")[0] ?? "";
  if (noun === "operation" || noun === "image" || noun === "template" || noun === "snapshot" || noun === "kernel") touch(noun);
  if (noun === "network") touch("network");
  if (noun !== "machine" && event.kind !== "network.denied") return;
  touch("machine");
  const id = event.data["id"];
  if (typeof id !== "string") return;
  if (event.kind === "machine.deleted") {
    const now = new Map(machines.value);
    now.delete(id);
    machines.set(now);
    touch("template");
  } else {
    void refresh(id);
  }
}

/** Ask for a machine once more; requests that would overlap become one. */
export async function refresh(id: string): Promise<void> {
  if (asked.has(id)) {
    asked.set(id, true);
    return;
  }
  asked.set(id, false);
  try {
    keep(await get<Machine>(path`/v1/machines/${id}`));
  } catch {
    // Deleted meanwhile: an event says so.
  } finally {
    const onceMore = asked.get(id);
    asked.delete(id);
    if (onceMore) void refresh(id);
  }
}
