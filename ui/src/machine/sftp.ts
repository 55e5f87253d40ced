// SFTP, version 3, to the server that is part of the agent: one request after the other. What comes is data of a guest,
// which may say anything: sizes are bounded, and what is no answer is a failure.

import { Failure, failureFrom, failureOf, path, socketAt } from "../api/call";
import type { ErrorBody } from "../api/model";
import { joined } from "../text/octets";

export const Kind = { INIT: 1, CLOSE: 4, OPENDIR: 11, READDIR: 12, VERSION: 2, STATUS: 101, HANDLE: 102, NAME: 104 } as const;
export const Code = { END: 1, NO_SUCH_FILE: 2 } as const;

const STDIN = 0, STDOUT = 1;
const PACKET_MAX = 512 * 1024;
const HEAD = 4;

interface Said {
  type: string;
  error?: ErrorBody;
}

/** The fields of an answer, one after the other. Reading beyond its end is a RangeError. */
export class Answer {
  private at = HEAD + 1;
  private readonly view: DataView;

  constructor(private readonly packet: Uint8Array) {
    this.view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  }

  get kind(): number {
    return this.view.getUint8(HEAD);
  }

  number(): number {
    this.at += 4;
    return this.view.getUint32(this.at - 4);
  }

  long(): number {
    return this.number() * 2 ** 32 + this.number();
  }

  bytes(): Uint8Array {
    const length = this.number();
    if (this.at + length > this.packet.length) throw new RangeError("a string without an end");
    this.at += length;
    return this.packet.slice(this.at - length, this.at);
  }
}

export class Sftp {
  private came = new Uint8Array();
  private hear: (answer: Answer) => void = () => undefined;
  private fail: (failure: Failure) => void = () => undefined;
  private failure: Failure | undefined;
  private requests = 0;

  private constructor(private readonly socket: WebSocket) {
    socket.onclose = () => this.end(new Failure("unreachable", "the connection to the guest broke"));
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (typeof data === "string") this.take(JSON.parse(data) as Said);
      else if (new Uint8Array(data, 0, 1)[0] === STDOUT) this.collect(new Uint8Array(data, 1));
    };
  }

  /** Carries out `work` with a connection of its own, as root of the guest. */
  static async during<T>(machine: string, work: (sftp: Sftp) => Promise<T>): Promise<T> {
    const socket = socketAt(path`/v1/machines/${machine}/applet`);
    const sftp = new Sftp(socket);
    try {
      const version = sftp.next();
      socket.onopen = () => {
        socket.send(JSON.stringify({ applet: "sftp" }));
        sftp.write(packet(Kind.INIT, number(3)));
      };
      if ((await version).kind !== Kind.VERSION) throw garbled();
      return await work(sftp);
    } catch (reason) {
      throw reason instanceof RangeError ? garbled() : failureOf(reason);
    } finally {
      socket.onclose = null;
      socket.close();
    }
  }

  /** The answer to a request, after its number. */
  async ask(kind: number, text: Uint8Array): Promise<Answer> {
    const coming = this.next();
    this.requests += 1;
    this.write(packet(kind, number(this.requests), number(text.length), text));
    const answer = await coming;
    if (answer.number() !== this.requests) throw garbled();
    return answer;
  }

  private next(): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.failure) reject(this.failure);
      [this.hear, this.fail] = [resolve, reject];
    });
  }

  private write(data: Uint8Array): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(joined([Uint8Array.of(STDIN), data]));
  }

  private take(said: Said): void {
    if (said.type === "error" && said.error) this.end(failureFrom(said.error));
    if (said.type === "exit") this.end(garbled());
  }

  private collect(data: Uint8Array): void {
    this.came = joined([this.came, data]);
    if (this.came.length < HEAD) return;
    const length = HEAD + new DataView(this.came.buffer).getUint32(0);
    // It answers only what was asked: there is never more than one answer.
    if (length > PACKET_MAX || length === HEAD || this.came.length > length) {
      this.end(garbled());
    } else if (this.came.length === length) {
      const whole = this.came;
      this.came = new Uint8Array();
      this.hear(new Answer(whole));
    }
  }

  private end(failure: Failure): void {
    this.failure ??= failure;
    this.fail(this.failure);
  }
}

export function garbled(): Failure {
  return new Failure("agent_error", "the guest answers something that is no SFTP", "look again");
}

function packet(kind: number, ...parts: Uint8Array[]): Uint8Array {
  const body = joined([Uint8Array.of(kind), ...parts]);
  return joined([number(body.length), body]);
}

function number(value: number): Uint8Array {
  const raw = new Uint8Array(4);
  new DataView(raw.buffer).setUint32(0, value);
  return raw;
}
