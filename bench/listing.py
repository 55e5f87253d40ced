"""All machines, asked for 200 times a second, while the daemon pulls an image from a registry on loopback, and while it
does nothing else; in turns. The machines are created, not running. One pull follows the other."""

from __future__ import annotations

import shutil

from bench.importing import DEBIAN, ensure_image
from bench.noise import Sample, sample
from bench.openloop import Load, Loader
from bench.place import BUILD, bare_daemon, create_machines
from bench.pulling import WORK, pull_ms, push_image
from bench.table import Row
from tests.support.registry import open_registry_server

MACHINES = 200
RATE = 200
SECONDS = 8
ROUNDS = 4
PATH = "/v1/machines"


def measure() -> list[Row]:
    BUILD.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(WORK, ignore_errors=True)
    directory = ensure_image(DEBIAN)
    try:
        with open_registry_server(WORK / "registry") as server, bare_daemon():
            ref = f"{server.host}/debian:bench"
            push_image(directory, ref)
            create_machines(MACHINES)
            return _compare(ref)
    finally:
        shutil.rmtree(WORK, ignore_errors=True)


def _compare(ref: str) -> list[Row]:
    Loader(PATH, RATE, 1).result()
    quiet, pulling = [], []
    pulls: list[float] = []
    for _ in range(ROUNDS):
        quiet.append(Loader(PATH, RATE, SECONDS).result())
        load, pulled = Loader(PATH, RATE, SECONDS), 0
        while load.runs:
            pull_ms(ref, forget_blobs=True)
            pulled += 1
        pulling.append(load.result())
        pulls.append(pulled)
    what = f"{RATE} lists a second of {MACHINES} machines"
    failed = sum(load.failed for load in (*quiet, *pulling))
    return [
        *_rows(f"{what}, nothing else", quiet, None),
        *_rows(f"{what}, during pulls", pulling, 50),
        Row(f"{what}: pulls in {SECONDS} s", "", sample(pulls)),
        Row(f"{what}: those that failed", "", sample([failed]), aim=0),
    ]


def _rows(kind: str, loads: list[Load], aim: float | None) -> list[Row]:
    """One value a round."""
    return [
        Row(f"{kind}: median", "ms", _each(loads, 0.5)),
        Row(f"{kind}: p99", "ms", _each(loads, 0.99), aim=aim),
        Row(f"{kind}: sent late, p99", "ms", sample([load.late.p99 for load in loads])),
    ]


def _each(loads: list[Load], share: float) -> Sample:
    return sample([load.taken.reached_by(share) for load in loads])
