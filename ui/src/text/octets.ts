// Names of a guest are bytes, and text here has them as the API does (docs/api.md, "Bytes"): what is UTF-8 as it is, any
// other byte as U+0000 and two hexadecimal digits.

const ESCAPE = /\u0000([89a-f][0-9a-f])/;
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

export function textOf(raw: Uint8Array): string {
  const whole = decoded(raw);
  if (whole !== undefined) return whole;
  let text = "";
  for (let at = 0; at < raw.length;) {
    const letter = raw.subarray(at, at + lengthOf(raw[at] ?? 0));
    const character = decoded(letter);
    text += character ?? `\u0000${(raw[at] ?? 0).toString(16)}`;
    at += character === undefined ? 1 : letter.length;
  }
  return text;
}

export function bytesOf(text: string): Uint8Array {
  // Every second part is a byte.
  const parts = text.split(ESCAPE).map((part, index) =>
    index % 2 ? Uint8Array.of(parseInt(part, 16)) : encoder.encode(part));
  return joined(parts);
}

export function joined(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Percent-encoded for a URL; bytes that are no UTF-8, too. */
export function percentEncoded(text: string): string {
  return encodeURIComponent(text).replace(/%00([89a-f][0-9a-f])/g, "%$1");
}

function decoded(raw: Uint8Array): string | undefined {
  try {
    return strict.decode(raw);
  } catch {
    return undefined;
  }
}

/** How many bytes a character has that begins with this one. */
function lengthOf(first: number): number {
  return first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
}
