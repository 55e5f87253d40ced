// Long work, running and past.

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { call, type Failure, failureFrom, failureOf, get, path } from "../api/call";
import { touch } from "../api/live";
import { useLoaded } from "../api/loaded";
import type { Operation } from "../api/model";
import { mayChange } from "../api/session";
import { useCell } from "../cell";
import { Complaint, Empty, Page, Ready } from "../parts/basics";
import { Steps, title } from "../parts/work";
import { age, duration } from "../text/units";

const EVERY_MS = 1000;
const SHOWN = 200;

export function OperationsPage(): JSX.Element {
  const may = useCell(mayChange);
  const operations = useLoaded((signal) => get<Array<Operation<unknown>>>("/v1/operations", {}, signal), "", ["operation", "machine"]);
  const [failure, setFailure] = useState<Failure>();
  const running = operations.value?.some((one) => one.state === "running") ?? false;
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(operations.again, EVERY_MS);
    return () => clearInterval(timer);
  }, [running]);
  const cancel = (id: string): void => void call("POST", path`/v1/operations/${id}/cancel`)
    .then(() => touch("operation"), (reason: unknown) => setFailure(failureOf(reason)));
  return (
    <Page title="Operations">
      {failure && <Complaint failure={failure} />}
      <Ready of={operations}>{(all) => all.length === 0
        ? <Empty title="No operations">Starts, pulls, snapshots and other long work appear here, and can be cancelled.</Empty>
        : (
          <ul class="rows card">{[...all].sort((a, b) => b.begun.localeCompare(a.begun)).slice(0, SHOWN).map((one) => (
            <li key={one.id}>
              <span class={`state ${one.state}`}><span class="dot" aria-hidden="true" />{one.state}</span>
              <strong>{title(one)}</strong>
              <span class="muted">{age(one.begun)} ago{one.ended ? `, took ${took(one)}` : ""}</span>
              {one.state === "running" && <span class="steps"><Steps work={one} /></span>}
              {one.state === "running" && may && <button class="quiet" aria-label={`Cancel ${title(one)}`} onClick={() => cancel(one.id)}>Cancel</button>}
              {one.error && <Complaint failure={failureFrom(one.error)} />}
            </li>
          ))}</ul>
        )}
      </Ready>
    </Page>
  );
}

function took(one: Operation<unknown>): string {
  const seconds = (Date.parse(one.ended) - Date.parse(one.begun)) / 1000;
  return seconds < 10 ? `${seconds.toFixed(1)} s` : duration(seconds);
}
