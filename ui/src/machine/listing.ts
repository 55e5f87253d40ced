// What is in a directory of the guest, as the agent lists it: also in images without a shell, and with names of any bytes.
// A guest may tell anything: it is data.

import { Failure } from "../api/call";
import { bytesOf, textOf } from "../text/octets";
import { type Answer, Code, garbled, Kind, Sftp } from "./sftp";

/** `name` has bytes that are no UTF-8 in the form of `text/octets`. */
export interface Entry {
  name: string;
  kind: "directory" | "file" | "link" | "other";
  size: number;
  modified: number;
}

const ENTRIES_MAX = 100_000;
const KIND_BITS = 0o170000;
const KINDS: Record<number, Entry["kind"]> = { 0o040000: "directory", 0o100000: "file", 0o120000: "link" };
const HAS = { SIZE: 1, OWNER: 2, MODE: 4, TIMES: 8 } as const;

export async function list(machine: string, directory: string): Promise<Entry[]> {
  const found = await Sftp.during(machine, (sftp) => entriesOf(sftp, directory));
  return found.sort(byKindAndName);
}

async function entriesOf(sftp: Sftp, directory: string): Promise<Entry[]> {
  const opened = await sftp.ask(Kind.OPENDIR, bytesOf(directory));
  if (opened.kind !== Kind.HANDLE) throw refusal(opened, directory);
  const handle = opened.bytes();
  const found: Entry[] = [];
  for (;;) {
    const answer = await sftp.ask(Kind.READDIR, handle);
    if (answer.kind !== Kind.NAME) {
      if (answer.kind === Kind.STATUS && answer.number() === Code.END) return found;
      throw garbled();
    }
    const names = answer.number();
    if (!names) throw garbled();
    for (let left = names; left > 0; left -= 1) {
      const entry = entryOf(answer);
      if (entry.name !== "." && entry.name !== "..") found.push(entry);
    }
    if (found.length > ENTRIES_MAX) throw new Failure("payload_too_large", "this directory has too many entries to be listed here");
  }
}

function entryOf(answer: Answer): Entry {
  const name = textOf(answer.bytes());
  answer.bytes(); // the same for people, with more
  const has = answer.number();
  const size = has & HAS.SIZE ? answer.long() : 0;
  if (has & HAS.OWNER) answer.long();
  const mode = has & HAS.MODE ? answer.number() : 0;
  if (has & HAS.TIMES) answer.number();
  const modified = has & HAS.TIMES ? answer.number() : 0;
  return { name, kind: KINDS[mode & KIND_BITS] ?? "other", size, modified };
}

function refusal(answer: Answer, directory: string): Failure {
  if (answer.kind !== Kind.STATUS) return garbled();
  const code = answer.number();
  const said = textOf(answer.bytes());
  return new Failure(code === Code.NO_SUCH_FILE ? "file_not_found" : "agent_error", `${directory}: ${said}`, "look again");
}

function byKindAndName(one: Entry, other: Entry): number {
  const directories = Number(other.kind === "directory") - Number(one.kind === "directory");
  return directories || one.name.localeCompare(other.name);
}
