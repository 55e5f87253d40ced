// What a directory of a guest contains, as the guest's own shell tells it. A guest may tell anything: it is data.

import { Failure, failureFrom, path, socketAt } from "../api/call";
import type { ErrorBody } from "../api/model";

export interface Entry {
  name: string;
  kind: "directory" | "file" | "link" | "other";
  size: number | undefined;
  modified: number | undefined;
}

// Shell built-ins tell kinds and names, also in images that have nothing else; `stat` adds sizes and times where it is.
const SCRIPT = `cd -- "$1" || exit 3
s=; command -v stat >/dev/null 2>&1 && s=1
for f in * .*; do
case $f in .|..) continue;; esac
[ -e "$f" ] || [ -L "$f" ] || continue
if [ -L "$f" ]; then t=l; elif [ -d "$f" ]; then t=d; elif [ -f "$f" ]; then t=f; else t=o; fi
printf '%s%s\\0' "$t" "$f"
done
printf '\\0'
[ -z "$s" ] || stat -c '%s %Y %n' -- * .* 2>/dev/null`;
const KINDS: Record<string, Entry["kind"]> = { d: "directory", f: "file", l: "link", o: "other" };
const LIMIT_BYTES = 4 * 1024 * 1024;

export async function list(machine: string, directory: string): Promise<Entry[]> {
  const { output, code, complaint } = await capture(machine, ["sh", "-c", SCRIPT, "sh", directory]);
  if (code === 3) throw new Failure("file_not_found", complaint.trim() || `${directory} is not a directory that can be read`);
  if (output.startsWith("\0")) return [];
  const end = output.indexOf("\0\0");
  const names = output.slice(0, end), stats = output.slice(end + 2);
  const known = new Map<string, [number, number]>();
  for (const line of stats.split("\n")) {
    const match = /^(\d+) (-?\d+) (.*)$/.exec(line);
    if (match) known.set(match[3] ?? "", [Number(match[1]), Number(match[2])]);
  }
  return names.split("\0").filter(Boolean).map((one) => {
    const name = one.slice(1);
    return { name, kind: KINDS[one[0] ?? ""] ?? "other" as const, size: known.get(name)?.[0], modified: known.get(name)?.[1] };
  }).sort(byKindAndName);
}

function byKindAndName(one: Entry, other: Entry): number {
  const directories = Number(other.kind === "directory") - Number(one.kind === "directory");
  return directories || one.name.localeCompare(other.name);
}

interface Said {
  type: string;
  code?: number;
  error?: ErrorBody;
}

/** Run a command to its end. Bytes that are no UTF-8 are lost: such names cannot be opened here. */
function capture(machine: string, argv: string[]): Promise<{ output: string; complaint: string; code: number }> {
  return new Promise((resolve, reject) => {
    const socket = socketAt(path`/v1/machines/${machine}/exec`);
    const decoders = [new TextDecoder(), new TextDecoder(), new TextDecoder()];
    const texts = ["", "", ""];
    let size = 0;
    socket.onopen = () => socket.send(JSON.stringify({ command: { argv, user: "root" } }));
    socket.onclose = () => reject(new Failure("unreachable", "the connection broke while the guest listed the directory"));
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (typeof data !== "string") {
        const [channel = 0] = new Uint8Array(data, 0, 1);
        size += data.byteLength;
        if (size > LIMIT_BYTES) {
          reject(new Failure("payload_too_large", "this directory has too many entries to be listed here"));
          socket.close();
        }
        texts[channel] += decoders[channel]?.decode(new Uint8Array(data, 1), { stream: true }) ?? "";
        return;
      }
      const said = JSON.parse(data) as Said;
      if (said.type === "exit") resolve({ output: texts[1] ?? "", complaint: texts[2] ?? "", code: said.code ?? 0 });
      if (said.type === "error" && said.error) reject(explained(said.error));
    };
  });
}

function explained(error: ErrorBody): Failure {
  if (error.code !== "command_not_found") return failureFrom(error);
  return new Failure(error.code, "this image has no shell that could list directories", "files can still be sent and fetched by their paths");
}
