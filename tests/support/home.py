"""A banger of the test's own: directories, daemon and command line, as a user has them.

The kernel and the default image are pulled once, into a golden home below BANGER_TEST_CACHE; other homes share
its cache directory and its templates, and begin with a copy of its store. They lie beside it, since clones take hard
links of templates.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from banger.builds.builder import IMAGE as BUILDER
from banger.server import standstill
from tests.support.pace import allowed_s

REPOSITORY = Path(__file__).parents[2]
CACHE = Path(os.environ.get("BANGER_TEST_CACHE", REPOSITORY / "build/test-cache"))
HOMES = CACHE / "homes"
IMAGE = "debian-bookworm"


class Home:
    """From `open_home` until its block ends; then its daemon and machines are gone, and checked to be."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.program = [sys.executable, "-m", "banger.cli.main"]
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("BANGER_", "XDG_"))},
            "BANGER_HOME": str(directory),
            "DOCKER_CONFIG": str(directory / "docker"),
            "PYTHONWARNINGS": "error",
            standstill.VARIABLE: "50",
            "COLUMNS": "100",
        }

    def argv(self, *words: str) -> list[str]:
        return [*self.program, *words]

    def run(
        self,
        *words: str,
        check: bool = False,
        stdin: bytes | None = None,
        timeout_s: float = 90,
        env: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """`banger WORDS...`, output captured; with `check` a failure shows what it said."""
        done = subprocess.run(
            self.argv(*words),
            env={**self.env, **(env or {})},
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            timeout=timeout_s,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"banger {' '.join(words)}: exit {done.returncode}\n"
                f"{done.stdout.decode(errors='replace')}\n{done.stderr.decode(errors='replace')}\n{self.daemon_log()}"
            )
        return done

    def text(self, *words: str, **options: Any) -> str:
        """What it printed, after success."""
        return self.run(*words, check=True, **options).stdout.decode()

    def json(self, *words: str) -> Any:
        return json.loads(self.text(*words, "--json"))

    def popen(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.argv(*words), env=self.env, **options)

    @property
    def state(self) -> Path:
        return self.directory / "state"

    def files_of(self, machine: str) -> Path:
        """The directory of the machine of this name: disk and logs."""
        shown = self.json("vm", "show", machine)
        return self.state / "machines" / str(shown["place"] or shown["id"])

    @property
    def run_directory(self) -> Path:
        return Path(self.json("system", "info")["places"]["run"])

    def daemon_pid(self) -> int:
        return int(self.json("system", "info")["daemon_pid"])

    def daemon_log(self) -> str:
        log = self.state / "daemon.log"
        return log.read_text(errors="replace")[-6000:] if log.exists() else "(no daemon log)"

    def standstills(self) -> str:
        """Where in its daemons the event loop was kept from everybody else for long; with stacks."""
        log = (self.state / "daemon.log").read_text(errors="replace")
        return log[max(0, found - 40) :][:20_000] if (found := log.find(standstill.WORDS)) >= 0 else ""

    def machine_processes(self) -> list[int]:
        """Processes of VMMs that were started from this home, by their command lines."""
        needle = f"{self.state}/".encode()
        return [pid for pid, command in command_lines() if needle in command and b"qemu-system" in command]

    def guards(self) -> dict[str, int]:
        """The processes of the keeper and the relay of this home, by their names."""
        found = self.network_programs()
        return {name: pid for name, pid in found.items() if name != "holder"}

    def network_programs(self) -> dict[str, int]:
        """As `guards`, with the holder."""
        place, found = os.path.realpath(self.state / "network"), {}
        for pid, command in command_lines():
            path, *options = command.split(b"\0")
            name = os.path.basename(path).partition(b"-")[0].decode(errors="replace")
            with contextlib.suppress(OSError):
                if name in ("keeper", "relay") and os.readlink(f"/proc/{pid}/cwd") == place:
                    found["holder" if b"--hold" in options else name] = pid
        return found

    def wait_for_guards(self, before: dict[str, int], killed: Iterable[str]) -> None:
        """Waits until keeper and relay run, those of them that were killed as new processes."""

        def run() -> bool:
            now = self.guards()
            return now.keys() == {"keeper", "relay"} and all(now[name] != before[name] for name in killed)

        wait_until(run, 30, "keeper and relay run")

    def leftovers(self) -> list[str]:
        """What must not be there once no machine is: files, sockets, processes. Of a home with a pool, once there is
        no daemon either."""
        found = [f"process {pid}" for pid in self.machine_processes()]
        found += [str(path) for path in (self.state / "machines").glob("*")]
        templates = self.state / "templates"
        if not templates.is_symlink():
            found += [str(path) for path in templates.glob(".*")]
        found += [str(path) for path in (self.state / "snapshots").glob(".*")]
        found += [str(path) for path in (self.state / "sockets").glob("*")]
        return found

    def control_groups(self) -> list[Path]:
        """Those that the store has a record of."""
        with contextlib.closing(sqlite3.connect(self.state / "banger.db")) as database:
            rows = database.execute("SELECT identity FROM resources WHERE kind = 'cgroup'").fetchall()
        return [Path(path) for (identity,) in rows for path in json.loads(identity).values()]

    def close(self) -> None:
        """Machines deleted, daemon ended; raises when anything is left."""
        groups = self.control_groups()
        machines = [m["name"] for m in self.json("vm", "list")]
        if machines:
            self.run("vm", "delete", "-f", *machines, check=True)
        run, pid, guards = self.run_directory, self.daemon_pid(), self.network_programs()
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not alive(pid), 15, "the daemon ends")
        left = self.leftovers() + [str(path) for path in groups if path.exists()]
        left += [f"{name} {pid}" for name, pid in guards.items() if alive(pid)]
        shutil.rmtree(run, ignore_errors=True)
        log = self.daemon_log()
        assert not left, f"left behind: {left}\n{log}"
        assert "Traceback" not in log, log
        assert not (stood := self.standstills()), stood


@contextmanager
def open_home(
    *,
    own_images: bool = False,
    own_templates: bool = False,
    builder: bool = False,
    pool: int = 0,
    config: str = "",
) -> Iterator[Home]:
    """A home that has the kernel and the image. With `own_images` what it pulls and prunes is its own, with
    `own_templates` what it freezes; with `builder` it has the image of builders, and images of its own; `pool` clones
    of each template wait; `config` is added to its config.toml."""
    golden = golden_home()
    HOMES.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="h", dir=HOMES))
    (directory / "state").mkdir()
    if not own_templates:
        (golden.state / "templates").mkdir(exist_ok=True)
        (directory / "state/templates").symlink_to(golden.state / "templates")
    (directory / "config").mkdir()
    (directory / "config/config.toml").write_text(f"[pool]\nper_template = {pool}\n{config}")
    shared = golden.directory / "cache"
    if own_images or builder:
        _share_all_but_images(directory, shared)
        _link_disks(directory, shared)
    else:
        (directory / "cache").symlink_to(shared)
    with sqlite3.connect(golden.state / "banger.db") as source:
        copy = sqlite3.connect(directory / "state/banger.db")
        source.backup(copy)
        copy.close()
    source.close()
    if builder:
        _add_builder(directory, golden_builder())
    home = Home(directory)
    try:
        yield home
    finally:
        home.close()
        shutil.rmtree(directory, ignore_errors=True)


def golden_home() -> Home:
    """Pull kernel and image once, whichever test process comes first."""
    home = Home(CACHE / "home")
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (CACHE / "ready").exists():
            home.run("vm", "run", "--rm", IMAGE, "--", "true", check=True, timeout_s=600)
            home.close()
            (CACHE / "ready").touch()
    return home


def golden_builder() -> Home:
    """Make the image of builders once, in a home of its own: other homes have only the one image."""
    golden, home = golden_home(), Home(CACHE / "builder")
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (CACHE / "ready-builder").exists():
            shutil.rmtree(home.directory, ignore_errors=True)
            _share_all_but_images(home.directory, golden.directory / "cache")
            home.run("image", "pull", BUILDER, check=True, timeout_s=900)
            home.close()
            (CACHE / "ready-builder").touch()
    return home


def _share_all_but_images(directory: Path, cache: Path) -> None:
    (directory / "cache/images").mkdir(parents=True)
    for name in ("kernels", "initramfs", "apt"):
        (directory / "cache" / name).symlink_to(cache / name)


def _link_disks(directory: Path, cache: Path) -> None:
    for disk in (cache / "images").glob("*.ext4"):
        (directory / "cache/images" / disk.name).symlink_to(disk)


def _add_builder(directory: Path, golden: Home) -> None:
    _link_disks(directory, golden.directory / "cache")
    with contextlib.closing(sqlite3.connect(directory / "state/banger.db")) as database, database:
        database.execute("ATTACH ? AS golden", (str(golden.state / "banger.db"),))
        database.execute("INSERT INTO images SELECT * FROM golden.images WHERE name = ?", (BUILDER,))


def command_lines() -> list[tuple[int, bytes]]:
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                found.append((int(entry), Path(f"/proc/{entry}/cmdline").read_bytes()))
            except OSError:
                continue
    return found


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def wait_until(condition: Callable[[], object], limit_s: float, what: str) -> None:
    """On a busy host as much longer as everything takes there."""
    begun = time.monotonic()
    allowed = limit_s
    while not condition():
        if time.monotonic() - begun >= allowed:
            allowed = allowed_s(limit_s)
            assert time.monotonic() - begun < allowed, f"within {allowed:g} s: {what}"
        time.sleep(0.02)
