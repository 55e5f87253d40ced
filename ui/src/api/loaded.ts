// What a page asks for when it is opened, and again when something has changed.

import { useEffect, useRef, useState } from "preact/hooks";
import { type Failure, failureOf } from "./call";
import { changes, type Noun } from "./live";
import { useCell } from "../cell";

export interface Loaded<T> {
  value: T | undefined;
  failure: Failure | undefined;
  again: () => void;
}

const PAUSE_MS = 700;

/** Loads when `key` changes, and soon after a thing of one of these `nouns` has changed; many changes are one load. The
 * old value stays meanwhile. */
export function useLoaded<T>(load: (signal: AbortSignal) => Promise<T>, key: string, nouns: Noun[] = []): Loaded<T> {
  const [state, setState] = useState<{ value?: T; failure?: Failure }>({});
  const [round, setRound] = useState(0);
  const counts = useCell(changes);
  const mark = nouns.map((noun) => counts[noun] ?? 0).join();
  const seen = useRef(mark);
  const due = useRef(0);
  const latest = useRef(load);
  latest.current = load;
  const latestMark = useRef(mark);
  latestMark.current = mark;
  useEffect(() => {
    const leaving = new AbortController();
    latest.current(leaving.signal).then(
      (value) => { if (!leaving.signal.aborted) setState({ value }); },
      (reason: unknown) => {
        if (!leaving.signal.aborted) setState((old) => ({ ...old, failure: failureOf(reason) }));
      },
    );
    return () => leaving.abort();
  }, [key, round]);
  useEffect(() => {
    if (mark === seen.current || due.current) return;
    due.current = setTimeout(() => {
      due.current = 0;
      seen.current = latestMark.current;
      setRound((number) => number + 1);
    }, PAUSE_MS);
  }, [mark]);
  useEffect(() => () => clearTimeout(due.current), []);
  return { value: state.value, failure: state.failure, again: () => setRound((number) => number + 1) };
}
