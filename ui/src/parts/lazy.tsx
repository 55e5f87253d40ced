// A part that is fetched when it is first shown.

import type { ComponentType, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Failure } from "../api/call";
import { Complaint } from "./basics";

export function lazy<P extends object>(load: () => Promise<{ default: ComponentType<P> }>): (props: P) => JSX.Element {
  let known: ComponentType<P> | undefined;
  return function Lazy(props: P): JSX.Element {
    const [, draw] = useState({});
    const [failed, setFailed] = useState(false);
    useEffect(() => {
      if (known) return;
      load().then((module) => { known = module.default; draw({}); }, () => setFailed(true));
    }, []);
    if (failed) return <Complaint failure={new Failure("unreachable", "a part of this page cannot be fetched", "load the page again")} />;
    const Known = known;
    return Known ? <Known {...props} /> : <div class="waiting" aria-busy="true">Loading …</div>;
  };
}
