// Text of guests, images and registries, made fit for the page: it is shown as text, never as markup, and without
// characters that control a terminal, hide, or turn the direction of other text.

const ESCAPES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\|$)|[PX^_][^\x1b]*(?:\x1b\\|$)|[ -/]*[0-~])/g;
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2028\u2029\u2060-\u2069\ufeff]/g;

/** One line of a console as text: escape sequences are dropped, what a carriage return overwrites is gone. */
export function cleanLine(line: string): string {
  const plain = line.replace(ESCAPES, "").replace(/\r+$/, "");
  return plain.slice(plain.lastIndexOf("\r") + 1).replace(CONTROLS, "");
}

/** A name or a message in one line: controls become a visible mark. */
export function cleanName(text: string): string {
  return text.replace(/\u0000([89a-f][0-9a-f])/g, "\\x$1").replace(CONTROLS, "\ufffd").replace(/[\t\n]/g, " ");
}
