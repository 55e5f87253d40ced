// Operations that this page has begun: a tray with their progress, and what became of them.

import type { JSX } from "preact";
import { call, failureFrom, failureOf, get, path } from "../api/call";
import { keep, touch } from "../api/live";
import type { Machine, Operation } from "../api/model";
import { Cell, useCell } from "../cell";
import { cleanName } from "../text/clean";
import { bytes } from "../text/units";
import { Bar, Complaint } from "./basics";

type Work = Operation<unknown>;

export const works = new Cell<readonly Work[]>([]);
const PAUSE_MS = 400;
const SHOWN_MS = 4000;
const LAYERS_SHOWN = 8;

/** Begin an operation. What is wrong with the request is thrown; its progress and its end show in the tray. */
export async function begin(target: string, body?: unknown): Promise<void> {
  void watch(await call<Work>("POST", target, body === undefined ? {} : { body })).catch(() => undefined);
}

async function watch(begun: Work): Promise<void> {
  let now = begun;
  show(now);
  touch("operation");
  while (now.state === "running") {
    await new Promise((done) => setTimeout(done, PAUSE_MS));
    now = await get<Work>(path`/v1/operations/${begun.id}`).catch((reason: unknown) => {
      if (failureOf(reason).code === "unreachable") return now; // the daemon may come back and still know it
      remove(begun.id);
      throw reason;
    });
    show(now);
  }
  touch("operation");
  if (now.made === "Machine" && now.result) keep(now.result as Machine);
  if (now.state === "succeeded") setTimeout(() => remove(now.id), SHOWN_MS);
  if (now.state === "cancelled") remove(now.id);
}

export function title(work: Work): string {
  const verb = work.kind.split(/[._ ]/).at(-1) ?? work.kind;
  return `${verb.charAt(0).toUpperCase()}${verb.slice(1)} ${cleanName(work.target.replace(/^[a-z]+\//, ""))}`;
}

export function Steps({ work }: { work: Work }): JSX.Element {
  const step = work.progress;
  if (!step) return <Bar done={0} total={0} label={title(work)} />;
  const amount = step.unit === "bytes" && step.total ? `${bytes(step.done)} of ${bytes(step.total)}`
    : step.total ? `${step.done} of ${step.total} ${step.unit}` : "";
  return (
    <>
      <Bar done={step.done} total={step.total} label={title(work)} />
      <small>{cleanName([step.phase, step.message, amount].filter(Boolean).join(" · "))}</small>
      {step.layers.filter((layer) => layer.state === "loading").slice(0, LAYERS_SHOWN).map((layer) => (
        <div class="layer" key={layer.digest}>
          <Bar done={layer.done} total={layer.total} label={`layer ${layer.digest}`} />
          <small>{cleanName(layer.digest)} · {bytes(layer.done)} of {bytes(layer.total)}</small>
        </div>
      ))}
    </>
  );
}

export function Tray(): JSX.Element {
  const shown = useCell(works);
  return (
    <div class="tray" aria-live="polite">
      {shown.map((work) => (
        <div class="card work" key={work.id}>
          <header>
            <strong>{title(work)}</strong>
            {work.state === "running"
              ? <button onClick={() => void call("POST", path`/v1/operations/${work.id}/cancel`)}>Cancel</button>
              : <button aria-label={`Close ${title(work)}`} onClick={() => remove(work.id)}>Close</button>}
          </header>
          {work.state === "running" && <Steps work={work} />}
          {work.state === "succeeded" && <small>done</small>}
          {work.error && <Complaint failure={failureFrom(work.error)} />}
        </div>
      ))}
    </div>
  );
}

function show(work: Work): void {
  const others = works.value.filter((other) => other.id !== work.id);
  works.set([...others, work]);
}

function remove(id: string): void {
  works.set(works.value.filter((work) => work.id !== id));
}
