"""python -m tests.fuzz TARGET DIRECTORY [LIBFUZZER OPTIONS]

Bytes that find new ways through our code, until one raises what it should not. What found a way is kept in
DIRECTORY/corpus, what raised as DIRECTORY/crash-*.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path

import atheris

TARGETS = Path(__file__).parent / "targets"


def main() -> None:
    names = sorted(path.stem for path in TARGETS.glob("fuzz_*.py"))
    if len(sys.argv) < 3 or sys.argv[1] not in names:
        sys.exit(f"{__doc__}\ntargets: {' '.join(names)}")
    directory = Path(sys.argv[2])
    corpus, scratch = directory / "corpus", directory / "scratch"
    for each in (corpus, scratch):
        each.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(scratch)  # the fuzzer ends without cleaning up
    with atheris.instrument_imports(include=["banger", "tests.fuzz"]):
        target = importlib.import_module(f"tests.fuzz.targets.{sys.argv[1]}")
    for number, seed in enumerate(target.SEEDS):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [f"-artifact_prefix={directory}/", *sys.argv[3:], str(corpus)]
    atheris.Setup([sys.argv[0], *options], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
