// Small parts that all pages are made of.

import type { ComponentChildren, JSX } from "preact";
import type { Failure } from "../api/call";
import type { Loaded } from "../api/loaded";
import { cleanName } from "../text/clean";

export function Page({ title, actions, children }: { title: string; actions?: ComponentChildren; children: ComponentChildren }): JSX.Element {
  return (
    <>
      <header class="page-head">
        <h1 tabIndex={-1} title={title}>{title}</h1>
        <div class="actions">{actions}</div>
      </header>
      {children}
    </>
  );
}

export function Section({ title, actions, children }: { title: string; actions?: ComponentChildren; children: ComponentChildren }): JSX.Element {
  return (
    <section class="card">
      <header><h2>{title}</h2><div class="actions">{actions}</div></header>
      {children}
    </section>
  );
}

/** A failure with its code, and what to do. */
export function Complaint({ failure, again }: { failure: Failure; again?: () => void }): JSX.Element {
  return (
    <div class="complaint" role="alert">
      <p><strong>{cleanName(failure.message)}</strong> <code>{failure.code}</code></p>
      {failure.hint && <p class="hint">{cleanName(failure.hint)}</p>}
      {again && <button onClick={again}>Try again</button>}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children: ComponentChildren }): JSX.Element {
  return <div class="empty"><p><strong>{title}</strong></p><p>{children}</p></div>;
}

/** The contents once they are there; a quiet place of the same height before that. */
export function Ready<T>({ of, children }: { of: Loaded<T>; children: (value: T) => ComponentChildren }): JSX.Element {
  return (
    <>
      {of.failure && <Complaint failure={of.failure} again={of.again} />}
      {of.value !== undefined ? children(of.value) : !of.failure && <div class="waiting" aria-busy="true">Loading …</div>}
    </>
  );
}

export function Facts({ rows }: { rows: Array<[string, ComponentChildren]> }): JSX.Element {
  return (
    <dl class="facts">
      {rows.map(([name, value]) => value !== "" && value !== false && value !== null && value !== undefined && (
        <div key={name}><dt>{name}</dt><dd>{typeof value === "string" ? cleanName(value) : value}</dd></div>
      ))}
    </dl>
  );
}

export function Bar({ done, total, label }: { done: number; total: number; label: string }): JSX.Element {
  return total > 0
    ? <progress value={Math.min(done, total)} max={total} aria-label={label} />
    : <progress aria-label={label} />;
}

export function Spark({ values, max, label }: { values: readonly number[]; max: number; label: string }): JSX.Element {
  const width = 72, height = 20, slots = 40;
  const shown = values.slice(-slots);
  const top = Math.max(max, 1e-9);
  const points = shown.map((value, index) => {
    const x = width - ((shown.length - 1 - index) * width) / (slots - 1);
    return `${x.toFixed(1)},${(height - 1 - Math.min(1, value / top) * (height - 2)).toFixed(1)}`;
  });
  return (
    <svg class="spark" viewBox={`0 0 ${width} ${height}`} role="img" aria-label={label}>
      {points.length > 1 && <polyline points={points.join(" ")} />}
    </svg>
  );
}
