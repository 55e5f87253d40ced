// What happened to a machine, newest first.

import type { JSX } from "preact";
import { values } from "../api/call";
import { useLoaded } from "../api/loaded";
import type { Event, Machine } from "../api/model";
import { Empty, Ready } from "../parts/basics";
import { Virtual } from "../parts/virtual";
import { cleanName } from "../text/clean";
import { moment } from "../text/units";

const SHOWN = 2000;

export function EventsPanel({ machine }: { machine: Machine }): JSX.Element {
  const events = useLoaded((signal) => past(machine.name, signal), machine.name, ["machine", "snapshot"]);
  return (
    <Ready of={events}>{(all) => all.length === 0 ? <Empty title="No events">The journal has nothing about this machine.</Empty>
      : <Virtual rows={all} columns={["Time", "Kind", "What happened"]} label="Events" kind="events" keyOf={(event) => String(event.seq)}
          cells={(event) => [<span>{moment(event.time)}</span>, <code>{event.kind}</code>, <span title={cleanName(event.message)}>{cleanName(event.message)}</span>]} />}
    </Ready>
  );
}

async function past(name: string, signal: AbortSignal): Promise<Event[]> {
  const found: Event[] = [];
  for await (const event of values<Event>("/v1/events", { machine: name, since: "2000-01-01T00:00:00Z" }, signal)) {
    found.push(event);
    if (found.length > 2 * SHOWN) found.splice(0, SHOWN);
  }
  return found.slice(-SHOWN).reverse();
}
