"""Containers of podman and runc with the root file system of our image, in a place of their own.

podman has a storage below build/bench, and a network namespace, so that neither its images nor its bridge and
firewall rules are left behind. Networking is its default (a bridge, an address, NAT) unless a run is told otherwise.
Limits on files and processes are explicit: its defaults are above the hard limits of some hosts, where runc then fails.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.noise import timed_ms
from bench.place import BUILD, IMAGE, banger, call, own_daemon

_NETNS = "banger-bench"
_IMAGE = "localhost/bench:x"
_LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Podman:
    """`driver` is that of its storage: overlay, or vfs where the former is impossible."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self.driver = next((name for name in ("overlay", "vfs") if self._works(name)), "")
        if not self.driver:
            raise SystemExit(f"bench: podman does not work: {self._try('vfs').stderr}")

    def import_image(self, tree: Path) -> None:
        tar = self._work / "tree.tar"
        call("tar", "--numeric-owner", "-C", str(tree), "-cf", str(tar), ".")
        call(*self._argv(self.driver), "import", "--quiet", str(tar), _IMAGE)
        tar.unlink()

    def run_ms(self, *options: str) -> float:
        """A whole `podman run --rm`, in our network namespace."""
        argv = (*self._argv(self.driver), "run", "--rm", *_LIMITS, *options, _IMAGE, "true")
        with _inside(Path("/run/netns") / _NETNS):
            return timed_ms(lambda: call(*argv))

    def remove_all(self) -> None:
        call(*self._argv(self.driver), "rm", "--all", "--force")
        call(*self._argv(self.driver), "rmi", "--all", "--force")

    def _works(self, driver: str) -> bool:
        works = self._try(driver).returncode == 0
        if not works:
            shutil.rmtree(self._work / "storage", ignore_errors=True)
        return works

    def _try(self, driver: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self._argv(driver), "info"], capture_output=True, text=True, check=False)

    def _argv(self, driver: str) -> list[str]:
        """Without systemd's cgroups and journal, which not every host has."""
        return [
            "podman",
            *("--root", str(self._work / "storage"), "--runroot", str(self._work / "runroot")),
            *("--tmpdir", str(self._work / "tmp"), "--storage-driver", driver, "--runtime", "runc"),
            *("--cgroup-manager", "cgroupfs", "--events-backend", "file"),
        ]


@contextmanager
def open_podman() -> Iterator[Podman]:
    """With the image at hand. Needs root. All is removed at the end."""
    work = BUILD / "podman"
    shutil.rmtree(work, ignore_errors=True)
    (work / "tree").mkdir(parents=True)
    before = _traces()
    podman = None
    if (Path("/run/netns") / _NETNS).exists():
        call("ip", "netns", "delete", _NETNS)
    call("ip", "netns", "add", _NETNS)
    try:
        call("ip", "-n", _NETNS, "link", "set", "lo", "up")
        podman = Podman(work)
        _unpack_image(work)
        podman.import_image(work / "tree")
        yield podman
    finally:
        if podman:
            podman.remove_all()
        call("ip", "netns", "delete", _NETNS)
        shutil.rmtree(work)
        for trace in sorted(_traces() - before, reverse=True):
            trace.rmdir() if trace.is_relative_to("/sys") else shutil.rmtree(trace)


def _unpack_image(work: Path) -> None:
    """The tree of our image's disk, as `work`/tree."""
    disk = work / "disk.ext4"
    with own_daemon():
        banger("image", "export", IMAGE, str(disk))
    call("debugfs", "-R", f"rdump / {work / 'tree'}", str(disk))
    disk.unlink()
    (work / "tree/lost+found").rmdir()


def _traces() -> set[Path]:
    """What podman has elsewhere: its parent cgroups, and the addresses that it gave away."""
    cgroups = Path("/sys/fs/cgroup")
    parents = [*cgroups.glob("libpod_parent"), *cgroups.glob("*/libpod_parent")]
    below = [path for parent in parents for path in parent.rglob("*") if path.is_dir()]
    addresses = Path("/var/lib/cni/networks/podman")
    return {*parents, *below, *([addresses] if addresses.exists() else [])}


@contextmanager
def _inside(namespace: Path) -> Iterator[None]:
    """This thread, and what it starts, in a network namespace for the time of a `with`."""
    own, other = os.open("/proc/thread-self/ns/net", os.O_RDONLY), os.open(namespace, os.O_RDONLY)
    try:
        _enter(other)
        try:
            yield
        finally:
            _enter(own)
    finally:
        os.close(own)
        os.close(other)


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
