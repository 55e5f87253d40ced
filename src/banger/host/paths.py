"""Places on disk. User mode follows the XDG directories; system mode the FHS.

<state>/banger.db            the store
<state>/daemon.log           bangerd's log (user mode)
<state>/machines/<id>/       the VMM's files, console.log, exec.log; also of clones that wait for a machine
<state>/sockets/<id>/        the VMM's, of machines: no other program cleans up there
<state>/network/             sockets and logs of keeper and relay
<state>/templates/<id>/      the VMM's files, meta.json
<state>/snapshots/<id>/      the same, of users' own
<state>/catalogs/<name>.json a catalog that was added: its key, its newest index
<cache>/images/<hex>.ext4    root disks, named by content
<cache>/kernels/<hex>/       vmlinux modules.ext4 order modules/
<cache>/initramfs/<hex>.cpio agent and modules for one kernel
<cache>/apt/                 a private apt tree
<run>/banger.sock            the API; mode 0600 in a directory of mode 0700
<run>/daemon.pid
<run>/vm/<id>/               sockets of machines that an earlier version started
"""

from __future__ import annotations

import os
from pathlib import Path

from banger.errors import Error
from banger.model.octets import text_of
from banger.places import (
    SYSTEM_CONFIG,
    SYSTEM_RUN,
    config_directory,
    home_directory,
    run_directory,
    state_directory,
)


class Paths:
    """Where one banger instance keeps things. Nothing is created by making this object."""

    def __init__(self, state: Path, cache: Path, run: Path, config: Path) -> None:
        self.state = state
        self.cache = cache
        self.run = run
        self.config = config

    @property
    def database(self) -> Path:
        return self.state / "banger.db"

    @property
    def daemon_log(self) -> Path:
        return self.state / "daemon.log"

    @property
    def machines(self) -> Path:
        return self.state / "machines"

    @property
    def templates(self) -> Path:
        return self.state / "templates"

    @property
    def snapshots(self) -> Path:
        return self.state / "snapshots"

    @property
    def catalogs(self) -> Path:
        return self.state / "catalogs"

    @property
    def images(self) -> Path:
        return self.cache / "images"

    @property
    def oci(self) -> Path:
        return self.cache / "oci"

    @property
    def kernels(self) -> Path:
        return self.cache / "kernels"

    @property
    def initramfs(self) -> Path:
        return self.cache / "initramfs"

    @property
    def apt(self) -> Path:
        return self.cache / "apt"

    @property
    def socket(self) -> Path:
        return self.run / "banger.sock"

    @property
    def network(self) -> Path:
        return self.state / "network"

    @property
    def keeper_socket(self) -> Path:
        return self.network / "keeper.sock"

    @property
    def relay_socket(self) -> Path:
        return self.network / "relay.sock"

    @property
    def daemon_pid(self) -> Path:
        return self.run / "daemon.pid"

    @property
    def sockets(self) -> Path:
        return self.state / "sockets"

    @property
    def earlier_sockets(self) -> Path:
        """Where an earlier version of banger kept the sockets."""
        return self.run / "vm"

    @classmethod
    def system(cls) -> Paths:
        return cls(Path("/var/lib/banger"), Path("/var/cache/banger"), Path(SYSTEM_RUN), Path(SYSTEM_CONFIG))

    @classmethod
    def user(cls) -> Paths:
        """The XDG directories. BANGER_HOME puts all four below one directory (for tests and trials). Raises
        `daemon_start_failed`."""
        run = Path(run_directory())
        own = os.environ.get("BANGER_HOME")
        if own:
            base = Path(own).absolute()
            return cls(base / "state", base / "cache", run, Path(config_directory()))._checked()
        home = Path(home_directory())
        return cls(
            Path(state_directory()),
            _xdg("XDG_CACHE_HOME", home / ".cache"),
            run,
            Path(config_directory()),
        )._checked()

    def _checked(self) -> Paths:
        """Raises `daemon_start_failed` for a path that is not text: paths stand in records, in answers and in VMMs'
        command lines."""
        for path in (self.state, self.cache, self.run, self.config):
            if text_of(str(path)) != str(path):
                shown = os.fsencode(path).decode(errors="backslashreplace")
                message = f"banger cannot keep its files in {shown}: the name is not valid UTF-8"
                raise Error(
                    "daemon_start_failed", message, "set BANGER_HOME to a directory whose name is valid UTF-8"
                )
        return self


def _xdg(variable: str, default: Path) -> Path:
    """The directory that a variable names. The XDG specification says that a relative path is to be ignored."""
    value = os.environ.get(variable, "")
    return (Path(value) if value.startswith("/") else default) / "banger"
