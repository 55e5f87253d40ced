// A command with a terminal that outlives its connection: it is started, left on purpose, and attached to as often as
// the connection breaks. What it wrote meanwhile is in its log.

import { failureFrom, type Failure, path, send, socketAt } from "../api/call";
import type { ErrorBody } from "../api/model";
import { joined } from "../text/octets";

export interface Screen {
  write: (data: Uint8Array) => void;
  clear: () => void;
  size: () => { rows: number; cols: number };
}

export type Status =
  | { kind: "starting" | "open" | "broken" }
  | { kind: "ended"; words: string }
  | { kind: "failed"; failure: Failure };

interface Said {
  type: string;
  exec?: number;
  consumed?: number;
  code?: number;
  signal?: number;
  error?: ErrorBody;
}

const PAUSE_MS = 700;
const CREDIT_BYTES = 512 * 1024;
const PIECE_BYTES = 32 * 1024;
const STDIN = 0;
// These end an attempt, not the session: the machine, or the daemon, is on its way back.
const PASSING = new Set(["timeout", "agent_lost", "agent_silent", "agent_restarted", "internal"]);

export class TerminalSession {
  private socket: WebSocket | undefined;
  private exec: number | undefined;
  private left = false;
  private sent = 0;
  private waiting: Uint8Array[] = [];
  private consumed = 0;
  /** Output since the attachment, as long as the log is being read; then undefined. */
  private early: Uint8Array[] | undefined;

  constructor(
    private readonly machine: string,
    private readonly argv: string[],
    private readonly screen: Screen,
    private readonly tell: (status: Status, exec: number | undefined) => void,
  ) {}

  /** Start the command, or go on with the one of this number. */
  begin(exec?: number): void {
    this.exec = exec;
    if (exec === undefined) this.start();
    else this.attach();
  }

  type(data: Uint8Array): void {
    for (let at = 0; at < data.length; at += PIECE_BYTES) this.waiting.push(data.subarray(at, at + PIECE_BYTES));
    this.pump();
  }

  resize(): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: "resize", ...this.screen.size() }));
  }

  /** Leave the command running. */
  leave(): void {
    this.left = true;
    const socket = this.socket;
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "detach" }));
    setTimeout(() => socket?.close(), PAUSE_MS);
  }

  private start(): void {
    this.tell({ kind: "starting" }, undefined);
    const command = { argv: this.argv, tty: true, stdin: true, env: { TERM: "xterm-256color" }, ...this.screen.size() };
    const socket = this.open("exec", { command });
    socket.addEventListener("message", ({ data }) => {
      if (typeof data !== "string") return;
      const said = JSON.parse(data) as Said;
      // From now on the command needs no connection, and its output is logged.
      if (said.type === "started") {
        this.exec = said.exec;
        socket.send(JSON.stringify({ type: "detach" }));
      }
    });
  }

  private attach(): void {
    this.sent = this.consumed = 0;
    this.early = [];
    this.open("attach", { exec: this.exec });
  }

  private open(verb: string, request: object): WebSocket {
    const socket = socketAt(path`/v1/machines/${this.machine}/` + verb);
    this.socket = socket;
    let done = false;
    socket.onopen = () => socket.send(JSON.stringify(request));
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (typeof data === "string") done = this.hear(verb, JSON.parse(data) as Said) || done;
      else this.show(new Uint8Array(data).subarray(1));
    };
    socket.onclose = () => {
      if (this.left || this.socket !== socket || done) return;
      this.tell({ kind: "broken" }, this.exec);
      setTimeout(() => { if (!this.left) this.exec === undefined ? this.start() : this.attach(); }, PAUSE_MS);
    };
    return socket;
  }

  /** Whether the stream has come to its own end, so that its closing is no accident. */
  private hear(verb: string, said: Said): boolean {
    switch (said.type) {
      case "started":
        if (verb === "attach") void this.catchUp();
        return false;
      case "credit":
        this.consumed = said.consumed ?? 0;
        this.pump();
        return false;
      case "detached":
        if (!this.left) this.attach();
        return true;
      case "exit":
        this.tell({ kind: "ended", words: said.signal ? `ended by signal ${said.signal}` : `ended with exit code ${said.code}` }, this.exec);
        return true;
      case "error":
        if (!said.error || PASSING.has(said.error.code)) return false;
        if (this.exec !== undefined && said.error.code === "exec_not_found") this.tell({ kind: "ended", words: "has ended" }, this.exec);
        else this.tell({ kind: "failed", failure: failureFrom(said.error) }, this.exec);
        return true;
      default:
        return false;
    }
  }

  private show(data: Uint8Array): void {
    if (this.early) this.early.push(data);
    else this.screen.write(data);
  }

  /** Show what the command wrote before this attachment. The log may have the first bytes of what came since. */
  private async catchUp(): Promise<void> {
    const query = { source: "exec", exec: this.exec };
    const log = await send("GET", path`/v1/machines/${this.machine}/logs`, { query })
      .then((answer) => answer.arrayBuffer()).catch(() => new ArrayBuffer(0));
    const came = joined(this.early ?? []);
    this.early = undefined;
    const old = new Uint8Array(log);
    if (old.length) this.screen.clear();
    this.screen.write(old);
    this.screen.write(came.subarray(overlap(old, came)));
    this.tell({ kind: "open" }, this.exec);
    this.resize();
    this.pump();
  }

  private pump(): void {
    while (this.waiting.length && this.sent - this.consumed < CREDIT_BYTES && this.socket?.readyState === WebSocket.OPEN && !this.early) {
      const data = this.waiting.shift() ?? new Uint8Array();
      const message = new Uint8Array(data.length + 1);
      message[0] = STDIN;
      message.set(data, 1);
      this.socket.send(message);
      this.sent += data.length;
    }
  }
}

/** How many of the first bytes of `came` are the last ones of `old`. */
export function overlap(old: Uint8Array, came: Uint8Array): number {
  for (let size = Math.min(old.length, came.length); size > 0; size -= 1) {
    let same = 0;
    while (same < size && old[old.length - size + same] === came[same]) same += 1;
    if (same === size) return size;
  }
  return 0;
}
