// A terminal of the guest. Only here are a guest's control sequences carried out, and only on the terminal's own cells:
// what asks for the clipboard, the title or links is dropped.

import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { failureOf, get, path } from "../api/call";
import type { Exec, Machine } from "../api/model";
import { Complaint } from "../parts/basics";
import { cleanName } from "../text/clean";
import { type Status, TerminalSession } from "./session";
import { adoptStyles } from "./strict_styles";

adoptStyles();

// Title, working directory, links, colours of the page, notifications, clipboard, marks of shells.
const IGNORED_OSC = [0, 1, 2, 4, 7, 8, 9, 10, 11, 12, 52, 104, 110, 111, 112, 133, 633, 777, 1337];
// A command without arguments is the login shell of the user.
const LOGIN_SHELL: string[] = [];
const THEME = { background: "#12161c", foreground: "#d7dde5", cursor: "#8ab4ff", selectionBackground: "#39506e" };

export default function TerminalPanel({ machine }: { machine: Machine }): JSX.Element {
  const [status, setStatus] = useState<Status>({ kind: "starting" });
  const [round, setRound] = useState<{ number: number; exec?: number }>({ number: 0 });
  const [exec, setExec] = useState<number>();
  const place = useRef<HTMLDivElement>(null);
  const screen = useRef<Terminal>(undefined);
  const session = useRef<TerminalSession>(undefined);
  const others = useOpenCommands(machine.id, exec);

  useEffect(() => {
    if (!place.current) return;
    const terminal = new Terminal({
      cursorBlink: true, fontSize: 13, scrollback: 5000, theme: THEME, screenReaderMode: false, allowProposedApi: false,
      fontFamily: 'ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace',
    });
    for (const number of IGNORED_OSC) terminal.parser.registerOscHandler(number, () => true);
    const fit = new FitAddon();
    terminal.loadAddon(fit);
    terminal.open(place.current);
    fit.fit();
    const encoder = new TextEncoder();
    const running = new TerminalSession(machine.id, LOGIN_SHELL, {
      write: (data) => terminal.write(data),
      clear: () => terminal.reset(),
      size: () => ({ rows: terminal.rows, cols: terminal.cols }),
    }, (now, number) => {
      setStatus(now);
      setExec(number);
    });
    terminal.onData((text) => running.type(encoder.encode(text)));
    terminal.onBinary((text) => running.type(Uint8Array.from(text, (letter) => letter.charCodeAt(0))));
    terminal.onResize(() => running.resize());
    terminal.attachCustomKeyEventHandler((event) => keyIsForTerminal(event, terminal));
    const watcher = new ResizeObserver(() => fit.fit());
    watcher.observe(place.current);
    screen.current = terminal;
    session.current = running;
    running.begin(round.exec);
    terminal.focus();
    return () => {
      watcher.disconnect();
      running.leave();
      terminal.dispose();
    };
  }, [machine.id, round]);

  const again = (number?: number): void =>
    setRound((old) => (number === undefined ? { number: old.number + 1 } : { number: old.number + 1, exec: number }));
  return (
    <div class="terminal-panel">
      <div class="toolbar">
        <span class={`terminal-status ${status.kind}`} role="status">{words(status, exec)}</span>
        <span class="spring" />
        {others.length > 0 && (
          <label>Also open{" "}
            <select value="" onChange={(event) => again(Number(event.currentTarget.value))}>
              <option value="">go on with …</option>
              {others.map((one) => <option key={one.id} value={one.id}>{one.id}: {cleanName(one.argv.join(" ")).slice(0, 40)}</option>)}
            </select>
          </label>
        )}
        <button onClick={() => { if (screen.current) void copy(screen.current); }}>Copy</button>
        <button onClick={() => { if (screen.current) void paste(screen.current); }}>Paste</button>
        <button onClick={() => again()}>New shell</button>
      </div>
      {status.kind === "failed" && <Complaint failure={status.failure} again={() => again()} />}
      <div class="screen" ref={place} />
      <small class="muted">Ctrl+Shift+C copies, Ctrl+Shift+V pastes, Ctrl+Shift+L leaves the terminal.</small>
    </div>
  );
}

function words(status: Status, exec: number | undefined): string {
  const command = exec === undefined ? "The shell" : `Command ${exec}`;
  if (status.kind === "open") return `${command} runs; it goes on when you leave`;
  if (status.kind === "broken") return "The connection broke; connecting again …";
  if (status.kind === "ended") return `${command} ${status.words}`;
  return status.kind === "failed" ? "No terminal" : "Starting …";
}

/** Commands with a terminal that run, and that another page or terminal has begun. */
function useOpenCommands(id: string, own: number | undefined): Exec[] {
  const [found, setFound] = useState<Exec[]>([]);
  useEffect(() => {
    get<Exec[]>(path`/v1/machines/${id}/execs`).then(
      (all) => setFound(all.filter((one) => one.running && one.tty && one.stdin && one.id !== own)),
      (reason: unknown) => failureOf(reason),
    );
  }, [id, own]);
  return found;
}

function keyIsForTerminal(event: KeyboardEvent, terminal: Terminal): boolean {
  if (!event.ctrlKey || !event.shiftKey) return true;
  if (event.code === "KeyC") {
    event.preventDefault();
    if (event.type === "keydown") void copy(terminal);
    return false;
  }
  // No browser has a use of its own for it, as all have for Tab with both keys.
  if (event.code === "KeyL") {
    event.preventDefault();
    if (event.type === "keydown") document.getElementById("tab-terminal")?.focus();
    return false;
  }
  return event.code !== "KeyV"; // the browser pastes by itself
}

async function paste(terminal: Terminal): Promise<void> {
  terminal.paste(await navigator.clipboard.readText());
  terminal.focus();
}

async function copy(terminal: Terminal): Promise<void> {
  if (terminal.hasSelection()) await navigator.clipboard.writeText(terminal.getSelection());
  terminal.focus();
}
