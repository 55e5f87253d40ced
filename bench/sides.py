"""Two bangers beside each other. Machines of the one are on taps, with keeper and relay; machines of the other have
QEMU's user NAT, since its daemon sees a device that makes no taps: it has a mount namespace of its own, in which
/dev/null covers that device. In all else they are alike."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.place import BANGER, BUILD, HOME, IMAGE, ask, banger, call, own_daemon, stop_daemon

TAP, NAT = "tap", "user NAT"
# Where a guest with the policy `host` finds the host's 127.0.0.1.
_GATEWAYS = {TAP: "10.213.0.1", NAT: "10.0.2.2"}
_HIDDEN = 'mount --bind /dev/null /dev/net/tun && exec "$@"'


@dataclass(frozen=True)
class Side:
    """A home whose machines all have one kind of link to the network."""

    name: str
    home: Path

    @property
    def gateway(self) -> str:
        return _GATEWAYS[self.name]

    @contextmanager
    def entered(self) -> Iterator[None]:
        """What is started and asked in the block is of this home."""
        before = os.environ["BANGER_HOME"]
        os.environ["BANGER_HOME"] = str(self.home)
        try:
            yield
        finally:
            os.environ["BANGER_HOME"] = before


@contextmanager
def open_sides() -> Iterator[Sequence[Side]]:
    """Each with a daemon, image and template at hand. One side is missing, and a word says so, where this host has no
    taps, or where we may not hide them."""
    with own_daemon():
        if no_taps := ask("/v1/system")["no_taps"]:
            print(f"bench: there is no tap to measure: {no_taps}", file=sys.stderr)
            yield []
            return
        tap = Side(TAP, HOME)
        if os.geteuid():
            print("bench: only root can hide the device of taps, to compare with user NAT", file=sys.stderr)
            yield [tap]
            return
    nat = Side(NAT, BUILD / "nat")
    _share_images(HOME, nat.home)
    with own_daemon(), nat.entered(), _untapped_daemon(), tap.entered():
        yield [tap, nat]


def _share_images(source: Path, target: Path) -> None:
    """Images and kernels of a home whose daemon has ended, also for another home whose daemon has ended."""
    with Side(NAT, target).entered():
        stop_daemon()
    (target / "state").mkdir(parents=True, exist_ok=True)
    (target / "config").mkdir(exist_ok=True)
    if not (target / "cache").exists():
        (target / "cache").symlink_to(source / "cache")
    with (
        closing(sqlite3.connect(source / "state/banger.db")) as store,
        closing(sqlite3.connect(target / "state/banger.db")) as copy,
    ):
        store.backup(copy)


@contextmanager
def _untapped_daemon() -> Iterator[None]:
    """In the home that is entered."""
    call("unshare", "--mount", "sh", "-c", _HIDDEN, "sh", BANGER, "system", "start")
    try:
        if not ask("/v1/system")["no_taps"]:
            raise SystemExit("bench: the daemon has taps, although their device is hidden")
        banger("vm", "run", "--rm", IMAGE, "--", "true")
        yield
    finally:
        stop_daemon()
