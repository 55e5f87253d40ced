// Tar archives as the daemon takes and gives them: files of this computer packed, one file of a guest unpacked.

const BLOCK = 512;
const NAME_MAX = 100;
const OCTAL_MAX = 0o77777777777;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** An archive with these files; nothing is read before it is sent. */
export function packed(files: readonly File[]): Blob {
  const parts: BlobPart[] = [];
  for (const file of files) {
    const name = encoder.encode(file.name);
    if (name.length > NAME_MAX || file.size > OCTAL_MAX) {
      const records = encoder.encode(record("path", file.name) + record("size", String(file.size)));
      parts.push(header("long", records.length, "x", 0), records, padding(records.length));
    }
    parts.push(header(file.name, Math.min(file.size, OCTAL_MAX), "0", file.lastModified), file, padding(file.size));
  }
  parts.push(new Uint8Array(2 * BLOCK));
  return new Blob(parts, { type: "application/x-tar" });
}

/** The contents of the first regular file of an archive. */
export function firstFile(archive: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> | undefined {
  let size: number | undefined;
  for (let at = 0; at + BLOCK <= archive.length;) {
    const head = archive.subarray(at, at + BLOCK);
    const length = sizeIn(head);
    const kind = String.fromCharCode(head[156] ?? 0);
    const body = archive.subarray(at + BLOCK, at + BLOCK + length);
    if (kind === "0" || kind === "\0") return archive.subarray(at + BLOCK, at + BLOCK + (size ?? length));
    if (kind === "x") size = sizeOf(decoder.decode(body));
    at += BLOCK + Math.ceil(length / BLOCK) * BLOCK;
  }
  return undefined;
}

/** The size that the records of a pax header give to the next member. */
function sizeOf(records: string): number | undefined {
  const size = /(?:^|\n)\d+ size=(\d+)\n/.exec(records)?.[1];
  return size === undefined ? undefined : Number(size);
}

function sizeIn(head: Uint8Array): number {
  if ((head[124] ?? 0) & 0x80) return head.subarray(125, 136).reduce((sum, byte) => sum * 256 + byte, 0);
  return parseInt(decoder.decode(head.subarray(124, 136)).replace(/\0.*$/, "").trim() || "0", 8);
}

function header(name: string, size: number, kind: string, modified: number): Uint8Array<ArrayBuffer> {
  const head = new Uint8Array(BLOCK);
  const put = (at: number, bytes: Uint8Array, room: number): void => head.set(bytes.subarray(0, room), at);
  const number = (at: number, value: number, digits: number): void =>
    put(at, encoder.encode(value.toString(8).padStart(digits, "0")), digits);
  put(0, encoder.encode(name), NAME_MAX);
  number(100, 0o644, 7);
  number(108, 0, 7);
  number(116, 0, 7);
  number(124, size, 11);
  number(136, Math.floor(modified / 1000), 11);
  put(148, encoder.encode("        "), 8);
  put(156, encoder.encode(kind), 1);
  put(257, encoder.encode("ustar\x0000"), 8);
  const sum = head.reduce((total, byte) => total + byte, 0);
  put(148, encoder.encode(`${sum.toString(8).padStart(6, "0")}\0 `), 8);
  return head;
}

/** A record of the pax form; its length counts itself. */
function record(key: string, value: string): string {
  const rest = encoder.encode(` ${key}=${value}\n`).length;
  let length = rest + String(rest).length;
  if (rest + String(length).length !== length) length = rest + String(length).length;
  return `${length} ${key}=${value}\n`;
}

function padding(size: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array((BLOCK - (size % BLOCK)) % BLOCK);
}
