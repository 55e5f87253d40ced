// A table of any length: only the rows in sight are drawn. All rows have the same height.

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

interface Props<T> {
  rows: readonly T[];
  columns: readonly string[];
  label: string;
  kind: string;
  /** The height of a row in a narrow window, where cells stand below one another. */
  narrowPx?: number;
  keyOf: (row: T) => string;
  /** The cells of a row, one for each column. */
  cells: (row: T) => ComponentChildren[];
}

const NARROW = matchMedia("(max-width: 700px)");
const ROW_PX = 44;
const SPARE = 6;

export function Virtual<T>({ rows, columns, label, kind, narrowPx = 92, keyOf, cells }: Props<T>): JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  const [seen, setSeen] = useState({ top: 0, height: 800, row: NARROW.matches ? narrowPx : ROW_PX });
  useEffect(() => {
    const look = (): void => {
      const box = place.current;
      if (box) setSeen({ top: box.scrollTop, height: box.clientHeight, row: NARROW.matches ? narrowPx : ROW_PX });
    };
    const watcher = new ResizeObserver(look);
    if (place.current) watcher.observe(place.current);
    place.current?.addEventListener("scroll", look, { passive: true });
    look();
    return () => watcher.disconnect();
  }, []);
  const first = Math.max(0, Math.floor(seen.top / seen.row) - SPARE);
  const last = Math.min(rows.length, Math.ceil((seen.top + seen.height) / seen.row) + SPARE);
  return (
    <div class={`table ${kind}`} role="table" aria-label={label} aria-rowcount={rows.length + 1}>
      <div role="rowgroup" class="table-head">
        <div role="row" class="row">{columns.map((name) => <div role="columnheader" key={name}>{name}</div>)}</div>
      </div>
      <div role="rowgroup" class="table-body" ref={place} tabIndex={0} aria-label={`${label}, rows`}>
        <div role="presentation" class="table-space" style={{ height: `${rows.length * seen.row}px` }}>
          {rows.slice(first, last).map((row, index) => (
            <div role="row" class="row" key={keyOf(row)} aria-rowindex={first + index + 2}
              style={{ transform: `translateY(${(first + index) * seen.row}px)`, height: `${seen.row}px` }}>
              {cells(row).map((cell, column) => <div role="cell" key={column} class={`cell c${column}`}>{cell}</div>)}
            </div>
          ))}
        </div>
      </div>
    </div>
  );
}
