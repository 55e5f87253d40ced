// The address of the page: a path, and a query for what is open in it.

import type { ComponentChildren, JSX } from "preact";
import { Cell } from "./cell";

const here = (): string => location.pathname + location.search;

export const address = new Cell(here());
addEventListener("popstate", () => address.set(here()));

export function navigate(to: string, replace = false): void {
  if (to === here()) return;
  history[replace ? "replaceState" : "pushState"](null, "", to);
  address.set(to);
}

interface Props {
  to: string;
  children: ComponentChildren;
  class?: string;
  title?: string;
  "aria-label"?: string;
  "aria-current"?: "page" | undefined;
}

export function Go({ to, children, ...rest }: Props): JSX.Element {
  const click = (event: MouseEvent): void => {
    if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    navigate(to);
  };
  return <a href={to} onClick={click} {...rest}>{children}</a>;
}
