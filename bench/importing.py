"""Layers of an image to a root disk, against what no program can do without: inflating every byte once, hashing both
the blobs and what is in them, and writing it.

Images are made here, alike every time, and kept below build/bench/importing. Each turn is a process of its own, so
that its peak memory is its own; what is timed is the work inside it. `python -m bench.importing` prints the table;
`JOBS` has the ways that are compared, each a function of an image's directory: a registry or another program is one
more.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import random
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from isal.isal_zlib import _GzipReader

from banger.images.disks.ext4.writer import Ext4Writer
from banger.images.disks.merge import LayerInput, merge_layers
from bench.noise import Sample, in_turns, ratio
from bench.table import Row, format_table

KEPT = Path(__file__).parents[1] / "build" / "bench" / "importing"
RUNS = 5
CHUNK_BYTES = 1 << 20
MIB = 1 << 20


@dataclass(frozen=True)
class Shape:
    """An image to be made. `mean_bytes` is of its files' contents; layers get equal parts of the entries."""

    name: str
    entries: int
    mean_bytes: int
    layers: int = 2


DEBIAN = Shape("debian", 15_000, 19_500)
SMALL = Shape("small files", 100_000, 600)
GROWTH = [Shape(f"growth {factor}x", 5_000 * factor, 19_500) for factor in (1, 2, 4)]


def ensure_image(shape: Shape) -> Path:
    """The image's directory: a blob per layer and layers.json."""
    directory = KEPT / f"{shape.name.replace(' ', '-')}-{shape.entries}-{shape.mean_bytes}"
    if not (directory / "layers.json").exists():
        directory.mkdir(parents=True, exist_ok=True)
        print(f"bench: making {directory.name}", file=sys.stderr)
        chance = random.Random(shape.name)
        pool = make_pool(chance)
        layers = [make_layer(directory, shape, number, chance, pool) for number in range(shape.layers)]
        (directory / "layers.json").write_text(json.dumps(layers))
    return directory


def make_pool(chance: random.Random) -> bytes:
    """Bytes that deflate to about a third, as programs and texts together do."""
    words = [chance.randbytes(chance.randint(3, 20)) for _ in range(300)]
    return b"".join(
        chance.randbytes(16) if chance.random() < 0.16 else chance.choice(words) for _ in range(600_000)
    )


def make_layer(
    directory: Path, shape: Shape, number: int, chance: random.Random, pool: bytes
) -> dict[str, str]:
    path = directory / f"layer-{number}"
    with open(path, "wb") as file:
        out = Deflating(file)
        with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            for info, data in members(shape, number, chance, pool):
                tar.addfile(info, io.BytesIO(data))
        out.finish()
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"path": path.name, "digest": f"sha256:{digest}", "diff_id": f"sha256:{out.inner.hexdigest()}"}


class Deflating(io.RawIOBase):
    """What is written is hashed and goes into a gzip file at the level that registries get."""

    def __init__(self, out: io.BufferedWriter) -> None:
        super().__init__()
        self.inner = hashlib.sha256()
        self._out = out
        self._deflate = zlib.compressobj(6, wbits=31)

    def write(self, data: Any, /) -> int:
        self.inner.update(data)
        self._out.write(self._deflate.compress(data))
        return len(data)

    def finish(self) -> None:
        self._out.write(self._deflate.flush())


def members(
    shape: Shape, number: int, chance: random.Random, pool: bytes
) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """Directories of some ten files, symbolic links among them; sizes as uneven as a system's are."""
    directory = f"usr/share/part-{number}"
    spread = 1.9
    median = shape.mean_bytes / 2.718281828 ** (spread**2 / 2)
    for index in range(shape.entries // shape.layers):
        if index % 11 == 0:
            directory = f"usr/lib/part-{number}/package-{index}"
            yield entry(directory, tarfile.DIRTYPE), b""
        elif index % 12 == 5:
            link = entry(f"{directory}/lib{index}.so", tarfile.SYMTYPE)
            link.linkname = f"lib{index - 1}.so.1"
            yield link, b""
        else:
            size = min(int(chance.lognormvariate(0, spread) * median * 0.86), 5 * MIB)
            data = cut(pool, chance, size)
            file = entry(f"{directory}/some-file-{index}", tarfile.REGTYPE)
            file.size = len(data)
            yield file, data


def entry(name: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    info.mtime = 1_700_000_000
    return info


def cut(pool: bytes, chance: random.Random, size: int) -> bytes:
    start = chance.randrange(len(pool) - size)
    return pool[start : start + size]


def layers_of(directory: Path) -> list[LayerInput]:
    listed = json.loads((directory / "layers.json").read_text())
    return [LayerInput(layer["digest"], layer["diff_id"], directory / layer["path"]) for layer in listed]


def floor(directory: Path, out: Path) -> None:
    """One after the other, in buffers of a megabyte."""
    buffer = memoryview(bytearray(CHUNK_BYTES))
    with open(out, "wb", buffering=0) as disk:
        for layer in layers_of(directory):
            with open(layer.path, "rb", buffering=0) as blob:
                hashlib.file_digest(blob, "sha256")
                blob.seek(0)
                inner = hashlib.sha256()
                source = _GzipReader(blob, CHUNK_BYTES)
                while count := source.readinto(buffer):
                    inner.update(buffer[:count])
                    disk.write(buffer[:count])


def merge(directory: Path, out: Path) -> None:
    """As an import does it once the blobs are there; their own digests are hashed while they are fetched."""
    layers = layers_of(directory)
    for layer in layers:
        with open(layer.path, "rb", buffering=0) as blob:
            hashlib.file_digest(blob, "sha256")
    with Ext4Writer(out, uuid=bytes(16), hash_seed=bytes(16)) as writer:
        root = merge_layers(layers, writer)
        writer.finish(root)


JOBS: dict[str, Callable[[Path, Path], None]] = {"floor": floor, "merge": merge}


@dataclass(frozen=True)
class Turn:
    """One run of a job: how long it took, and the most memory its process had."""

    taken_s: float
    peak_mib: float


def run_here(job: str, directory: Path) -> Turn:
    with tempfile.TemporaryDirectory(dir=KEPT) as place:
        begun = time.perf_counter()
        JOBS[job](directory, Path(place) / "disk")
        taken = time.perf_counter() - begun
    return Turn(taken, peak_mib())


def peak_mib() -> float:
    """Of this process since it started its program; getrusage also counts what the parent had."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def run_apart(job: str, directory: Path) -> Turn:
    argv = [sys.executable, "-m", "bench.importing", "--job", job, str(directory)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench: {job} of {directory.name} failed: {done.stderr[-2000:]}")
    return Turn(*json.loads(done.stdout))


def compare(shape: Shape, runs: int) -> tuple[dict[str, Sample], float]:
    """Seconds of each job, and the largest peak of `merge` in MiB."""
    directory = ensure_image(shape)
    peaks: list[float] = []

    def turn(job: str) -> float:
        done = run_apart(job, directory)
        if job == "merge":
            peaks.append(done.peak_mib)
        return done.taken_s

    taken = in_turns({job: partial(turn, job) for job in JOBS}, runs)
    return taken, max(peaks)


def rows_of(shape: Shape, runs: int, aim: float | None = None) -> list[Row]:
    taken, peak = compare(shape, runs)
    rate = Sample(tuple(shape.entries / value for value in taken["merge"].values))
    return [
        Row(f"{shape.name}: inflate, hash, write", "s", taken["floor"]),
        Row(f"{shape.name}: layers to a disk", "s", taken["merge"]),
        Row(f"{shape.name}: the second over the first", "x", ratio(taken["merge"], taken["floor"]), aim=aim),
        Row(f"{shape.name}: entries a second", "1/s", rate),
        Row(f"{shape.name}: peak memory", "MiB", Sample((peak,)), aim=150),
    ]


def measure(runs: int = RUNS) -> list[Row]:
    rows = rows_of(DEBIAN, runs, aim=1.5) + rows_of(SMALL, runs)
    growth = [compare(shape, runs) for shape in GROWTH]
    for factor, (taken, peak) in zip((1, 2, 4), growth, strict=True):
        grown = ratio(taken["merge"], growth[0][0]["merge"])
        rows.append(Row(f"growth {factor}x: time over that of 1x", "x", grown, aim=factor * 1.25))
        rows.append(Row(f"growth {factor}x: peak memory", "MiB", Sample((peak,)), aim=150))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.importing", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--job", choices=JOBS, help="one run in this process; prints seconds and MiB")
    parser.add_argument("directory", type=Path, nargs="?")
    options = parser.parse_args()
    if options.job:
        done = run_here(options.job, options.directory)
        print(json.dumps([done.taken_s, done.peak_mib]))
    else:
        print(format_table(measure(options.runs)))


if __name__ == "__main__":
    main()
