// The frame of all pages: navigation, the page of the address, dialogs, and the tray of what is going on.

import { type ComponentType, render } from "preact";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { sessionOver } from "./api/call";
import { follow, link, machines } from "./api/live";
import { mayChange, meet, session } from "./api/session";
import { useCell } from "./cell";
import { CreatePage } from "./pages/create";
import { DoctorPage } from "./pages/doctor";
import { ImagesPage } from "./pages/images";
import { MachinePage } from "./pages/machine";
import { MachinesPage } from "./pages/machines";
import { NetworksPage } from "./pages/networks";
import { OperationsPage } from "./pages/operations";
import { TemplatesPage } from "./pages/templates";
import { Empty, Page } from "./parts/basics";
import { Dialogs } from "./parts/dialog";
import { Tray } from "./parts/work";
import { address, Go } from "./router";
import { cleanName } from "./text/clean";
// Styles of parts that are fetched later come with the page: nothing jumps when they appear.
import "@xterm/xterm/css/xterm.css";
import "uplot/dist/uPlot.min.css";
import "./style.css";

interface Place {
  path: string;
  title: string;
  page: ComponentType;
}

const PLACES: Place[] = [
  { path: "/", title: "Machines", page: MachinesPage },
  { path: "/images", title: "Images", page: ImagesPage },
  { path: "/templates", title: "Templates", page: TemplatesPage },
  { path: "/networks", title: "Networks", page: NetworksPage },
  { path: "/operations", title: "Operations", page: OperationsPage },
  { path: "/doctor", title: "Doctor", page: DoctorPage },
];

function App(): JSX.Element {
  const path = useCell(address).split("?")[0] ?? "/";
  const over = useCell(sessionOver);
  const linked = useCell(link);
  const met = useCell(session);
  const may = useCell(mayChange);
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  useEffect(() => {
    const heading = main.current?.querySelector("h1");
    document.title = heading?.textContent ? `${heading.textContent} · banger` : "banger";
    if (first.current) first.current = false;
    else heading?.focus();
    document.querySelector(".side [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [path]);
  const loaded = useCell(machines) !== undefined;
  if (over && !loaded) return <SessionOver />;
  return (
    <>
      <a class="skip" href="#main">Skip to the page</a>
      <nav class="side" aria-label="Pages">
        <Go to="/" class="brand">banger</Go>
        <ul>
          {PLACES.map((place) => (
            <li key={place.path}>
              <Go to={place.path} aria-current={isHere(place.path, path) ? "page" : undefined}>{place.title}</Go>
            </li>
          ))}
        </ul>
        <p class="who">
          <span class={`dot ${linked}`} aria-hidden="true" />
          {linked === "live" ? "live" : linked === "lost" ? "connecting again" : "connecting"}
          {met && <small>{cleanName(met.principal)}{may ? "" : ", read-only"}</small>}
        </p>
      </nav>
      <main id="main" ref={main} tabIndex={-1}>
        {over && <div class="lost" role="status">This session is over. Run <code>banger ui</code>, and open its link in this browser; this page then goes on.</div>}
        {linked === "lost" && !over && (
          <div class="lost" role="status">The daemon does not answer. Machines keep running; this page goes on when the daemon is back.</div>
        )}
        <Routed path={path} />
      </main>
      <Tray />
      <Dialogs />
    </>
  );
}

function Routed({ path }: { path: string }): JSX.Element {
  const machine = /^\/machines\/([^/]+)$/.exec(path)?.[1];
  if (machine) return <MachinePage key={path} name={decodeURIComponent(machine)} />;
  if (path === "/new") return <CreatePage />;
  const Found = PLACES.find((place) => place.path === path)?.page;
  if (Found) return <Found />;
  return <Page title="Not here"><Empty title="There is no such page">Go to <Go to="/">all machines</Go>.</Empty></Page>;
}

function isHere(place: string, path: string): boolean {
  return place === "/" ? path === "/" || path === "/new" || path.startsWith("/machines/") : path === place;
}

function SessionOver(): JSX.Element {
  return (
    <main class="over">
      <h1>This session is over</h1>
      <p>Run <code>banger ui</code> in a terminal, and open the link that it prints.</p>
    </main>
  );
}

void meet();
follow();
const place = document.getElementById("app");
if (place) render(<App />, place);
