// Requests to the daemon: JSON there and back, lines, bytes. Failures have the daemon's code and hint.

import { Cell } from "../cell";
import { percentEncoded } from "../text/octets";
import type { ErrorBody } from "./model";

export type Query = Record<string, string | number | boolean | undefined>;

interface Options {
  query?: Query;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
}

/** True from when the daemon says that the session of this browser is over until it says otherwise. */
export const sessionOver = new Cell(false);

export class Failure extends Error {
  readonly code: string;
  readonly hint: string;

  constructor(code: string, message: string, hint = "") {
    super(message);
    this.code = code;
    this.hint = hint;
  }
}

export function failureOf(reason: unknown): Failure {
  if (reason instanceof Failure) return reason;
  return new Failure("unreachable", "the daemon does not answer", "banger system info");
}

export function failureFrom(body: ErrorBody): Failure {
  return new Failure(body.code, body.message, body.hint);
}

export function path(strings: TemplateStringsArray, ...names: Array<string | number>): string {
  return strings.reduce((whole, part, index) => whole + encodeURIComponent(names[index - 1] ?? "") + part);
}

/** The same for a name that may have slashes, as images have. */
export function imagePath(name: string): string {
  return `/v1/images/${name.split("/").map(encodeURIComponent).join("/")}`;
}

export async function send(method: string, target: string, options: Options = {}): Promise<Response> {
  const headers: Record<string, string> = { ...options.headers };
  if (method !== "GET") headers["X-Banger"] = "1";
  let body: BodyInit | null = null;
  if (options.body instanceof Blob) {
    body = options.body;
  } else if (options.body !== undefined) {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify(options.body);
  }
  const answer = await fetch(target + encoded(options.query), {
    method, headers, body, signal: options.signal ?? null, credentials: "same-origin", cache: "no-store",
  });
  if (!answer.ok) throw await refusal(answer);
  sessionOver.set(false); // another page may have logged in
  return answer;
}

export async function call<T>(method: string, target: string, options: Options = {}): Promise<T> {
  const answer = await send(method, target, options);
  return (answer.status === 204 ? undefined : await answer.json()) as T;
}

export function get<T>(target: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  return call<T>("GET", target, { query, signal });
}

/** The pieces of text of an answer that may never end. */
export async function* pieces(target: string, query: Query, signal: AbortSignal): AsyncGenerator<string> {
  yield* piecesOf(await send("GET", target, { query, signal }));
}

async function* piecesOf(answer: Response): AsyncGenerator<string> {
  if (!answer.body) return;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

/** The values of an answer in NDJSON, each as it comes. */
export async function* values<T>(target: string, query: Query, signal: AbortSignal): AsyncGenerator<T> {
  yield* valuesOf<T>(await send("GET", target, { query, signal }));
}

/** The same of an answer that has begun. */
export async function* valuesOf<T>(answer: Response): AsyncGenerator<T> {
  let rest = "";
  for await (const piece of piecesOf(answer)) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line) yield JSON.parse(line) as T;
    }
  }
}

export function socketAt(target: string): WebSocket {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${target}`);
  socket.binaryType = "arraybuffer";
  return socket;
}

async function refusal(answer: Response): Promise<Failure> {
  if (answer.status === 401) sessionOver.set(true);
  try {
    return failureFrom(((await answer.json()) as { error: ErrorBody }).error);
  } catch {
    return new Failure("unreachable", `the daemon answered with status ${answer.status}`, "banger system info");
  }
}

function encoded(query: Query = {}): string {
  const chosen = Object.entries(query).flatMap(([name, value]) =>
    value === undefined ? [] : [`${encodeURIComponent(name)}=${percentEncoded(String(value))}`]);
  return chosen.length ? `?${chosen.join("&")}` : "";
}
