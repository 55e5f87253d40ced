// The console, or what the main command wrote: it follows and searches. All of it is text.

import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Failure, failureOf, path, pieces } from "../api/call";
import type { Machine } from "../api/model";
import { Complaint, Empty } from "../parts/basics";
import { cleanLine } from "../text/clean";
import { count } from "../text/units";

const LINE_PX = 18;
const KEPT = 20_000;
const TAIL = 5000;
const LINE_MAX = 4000;
const DRAW_MS = 100;
const AGAIN_MS = 1500;

export function ConsolePanel({ machine }: { machine: Machine }): JSX.Element {
  const [source, setSource] = useState("console");
  const [wanted, setWanted] = useState("");
  const [at, setAt] = useState(0);
  const { lines, failure } = useLog(machine, source);
  const needle = wanted.toLowerCase();
  const hits = useMemo(
    () => (needle ? lines.flatMap((line, index) => (line.toLowerCase().includes(needle) ? [index] : [])) : []),
    [lines, needle],
  );
  const hit = hits.length ? hits[((at % hits.length) + hits.length) % hits.length] : undefined;
  return (
    <div class="console-panel">
      <div class="toolbar">
        <label>Source{" "}
          <select value={source} onChange={(event) => setSource(event.currentTarget.value)}>
            <option value="console">console</option>
            <option value="exec">main command</option>
          </select>
        </label>
        <input type="search" placeholder="Search the log" aria-label="Search the log" value={wanted}
          onInput={(event) => { setWanted(event.currentTarget.value); setAt(0); }}
          onKeyDown={(event) => { if (event.key === "Enter") setAt((now) => now + (event.shiftKey ? -1 : 1)); }} />
        <span class="muted" aria-live="polite">{needle ? count(hits.length, "line fits", "lines fit") : ""}</span>
        <button disabled={!hits.length} onClick={() => setAt((now) => now - 1)}>Previous</button>
        <button disabled={!hits.length} onClick={() => setAt((now) => now + 1)}>Next</button>
        <a class="button" href={`${path`/v1/machines/${machine.id}/logs`}?source=${source}`} download={`${machine.name}-${source}.log`}>Download</a>
      </div>
      {failure && <Complaint failure={failure} />}
      {lines.length ? <Lines lines={lines} needle={needle} hit={hit} />
        : <Empty title="Nothing yet">{source === "console" ? "The console shows what the guest's kernel and init say." : "The main command has written nothing."}</Empty>}
    </div>
  );
}

function useLog(machine: Machine, source: string): { lines: readonly string[]; failure: Failure | undefined } {
  const [lines, setLines] = useState<readonly string[]>([]);
  const [failure, setFailure] = useState<Failure>();
  // A life that has begun anew is followed anew.
  const life = `${machine.id} ${machine.started} ${source}`;
  useEffect(() => {
    const leaving = new AbortController();
    const read = async (): Promise<void> => {
      let whole: string[] = [], rest = "", timer = 0;
      const draw = (): void => {
        timer = 0;
        setLines(rest ? [...whole, cleanLine(rest)] : [...whole]);
      };
      const log = pieces(path`/v1/machines/${machine.id}/logs`, { source, tail: TAIL, follow: true }, leaving.signal);
      for await (const piece of log) {
        const parts = (rest + piece).split("\n");
        rest = (parts.pop() ?? "").slice(-LINE_MAX);
        for (const part of parts) whole.push(cleanLine(part.slice(0, LINE_MAX)));
        if (whole.length > KEPT) whole = whole.slice(-KEPT);
        timer ||= setTimeout(draw, DRAW_MS);
      }
    };
    const run = async (): Promise<void> => {
      while (!leaving.signal.aborted) {
        try {
          await read();
          return;
        } catch (reason) {
          if (leaving.signal.aborted) return;
          const failed = failureOf(reason);
          if (failed.code !== "unreachable") {
            setFailure(failed);
            return;
          }
          await new Promise((done) => setTimeout(done, AGAIN_MS));
        }
      }
    };
    setLines([]);
    setFailure(undefined);
    void run();
    return () => leaving.abort();
  }, [life]);
  return { lines, failure };
}

function Lines({ lines, needle, hit }: { lines: readonly string[]; needle: string; hit: number | undefined }): JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [follows, setFollows] = useState(true);
  useEffect(() => {
    if (place.current && follows) place.current.scrollTop = place.current.scrollHeight;
  }, [lines, follows]);
  useEffect(() => {
    if (place.current && hit !== undefined) {
      setFollows(false);
      place.current.scrollTop = Math.max(0, hit * LINE_PX - place.current.clientHeight / 2);
    }
  }, [hit]);
  const scrolled = (): void => {
    const box = place.current;
    if (!box) return;
    setTop(box.scrollTop);
    setFollows(box.scrollTop + box.clientHeight >= box.scrollHeight - LINE_PX);
  };
  const first = Math.max(0, Math.floor(top / LINE_PX) - 20);
  const last = Math.min(lines.length, first + 120);
  return (
    <>
      <div class="log" ref={place} onScroll={scrolled} tabIndex={0} role="log" aria-label="Log" aria-live="off">
        <div class="log-space" style={{ height: `${lines.length * LINE_PX}px` }}>
          <div style={{ transform: `translateY(${first * LINE_PX}px)` }}>
            {lines.slice(first, last).map((line, index) => (
              <div key={first + index} class={first + index === hit ? "line hit" : "line"}><Marked line={line} needle={needle} /></div>
            ))}
          </div>
        </div>
      </div>
      <label class="check"><input type="checkbox" checked={follows} onChange={(event) => setFollows(event.currentTarget.checked)} /> Follow new lines</label>
    </>
  );
}

function Marked({ line, needle }: { line: string; needle: string }): JSX.Element {
  const at = needle ? line.toLowerCase().indexOf(needle) : -1;
  if (at < 0) return <>{line || " "}</>;
  return <>{line.slice(0, at)}<mark>{line.slice(at, at + needle.length)}</mark>{line.slice(at + needle.length)}</>;
}
