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

/** Loads when `key` changes, and when a thing of one of these `nouns` has changed. The old value stays meanwhile. */
export function useLoaded<T>(load: (signal: AbortSignal) => Promise<T>, key: string, nouns: Noun[] = []): Loaded<T> {
  const [state, setState] = useState<{ value?: T; failure?: Failure }>({});
  const [round, setRound] = useState(0);
  const counts = useCell(changes);
  const mark = nouns.map((noun) => counts[noun] ?? 0).join();
  const latest = useRef(load);
  latest.current = load;
  useEffect(() => {
    const leaving = new AbortController();
    latest.current(leaving.signal).then(
      (value) => { if (!leaving.signal.aborted) setState({ value }); },
      (reason: unknown) => {
        if (!leaving.signal.aborted) setState((old) => ({ ...old, failure: failureOf(reason) }));
      },
    );
    return () => leaving.abort();
  }, [key, mark, round]);
  return { value: state.value, failure: state.failure, again: () => setRound((number) => number + 1) };
}
