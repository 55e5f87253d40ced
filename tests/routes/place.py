"""A daemon to hurt: a home of its own, which shares nothing with others that a request could change, and whose way out
leads nowhere; a machine that runs, one that does not, and other things that requests can name."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from banger.client.sync import Client
from banger.errors import Error
from tests.routes.tame import FOR_THE_SPARE, NOWHERE
from tests.support.home import HOMES, IMAGE, Home, open_home

_KEPT_MACHINES = 4
_KEPT_OTHERS = 8


class Place:
    """Lives as long as the home. `url` is the door, `token` is for it."""

    def __init__(self, home: Home, scratch: Path) -> None:
        self.home = home
        self.scratch = scratch
        self.kernel = home.json("kernel", "list")[0]["name"]
        self.url = home.json("ui", "--no-open")["url"]
        self.token = home.text("token", "create", "made-up").strip()
        self.pid = home.daemon_pid()
        self.client = Client(home.json("system", "info")["socket"], start=False, timeout_s=60)
        self.dev = self.spare = ""
        self.put_right()

    def put_right(self) -> None:
        """Make what requests have removed, and remove what they made."""
        machines = {one.id: one for one in self.client.machines.list()}
        dev = machines.pop(self.dev, None)
        if dev is None or dev.state.value not in ("running", "paused"):
            if dev is not None:
                self.client.machines.delete(dev.id, force=True)
            argv = ["run", "-d", "--network", "none", "--memory", "128MiB", IMAGE, "--", "sleep", "1000000"]
            self.dev = self.client.machines.get(self.home.text(*argv).strip()).id
        elif dev.state.value == "paused":
            self.client.machines.resume(dev.id)
        spare = machines.pop(self.spare, None)
        if spare is None:
            self.spare = self.client.machines.create(IMAGE, memory_mib=128, network="none").id
        elif spare.state.value != "created":
            self.client.machines.delete(spare.id, force=True)
            self.spare = self.client.machines.create(IMAGE, memory_mib=128, network="none").id
        self._thin_out([one.id for one in machines.values()], _KEPT_MACHINES, self._delete_machine)
        self._thin_out(
            [one.name for one in self.client.networks.list() if not one.members],
            _KEPT_OTHERS,
            self.client.networks.delete,
        )
        if "net" not in {one.name for one in self.client.networks.list()}:
            self.client.networks.create("net")
        self._thin_out(
            [one.name for one in self.client.volumes.list() if not one.users],
            _KEPT_OTHERS,
            self.client.volumes.delete,
        )
        if "vol" not in {one.name for one in self.client.volumes.list()}:
            self.client.volumes.create("vol", size_bytes=16 << 20)
        ours = [one.name for one in self.client.tokens.list() if one.name != "made-up"]
        self._thin_out(ours, _KEPT_OTHERS, self.client.tokens.revoke)

    def _delete_machine(self, name: str) -> None:
        self.client.machines.delete(name, force=True)

    def _thin_out(self, names: list[str], kept: int, remove: object) -> None:
        assert callable(remove)
        for name in names[kept:]:
            try:
                remove(name)
            except Error as exc:  # it is about to go, or busy
                assert exc.http_status < 500, exc.as_dict()

    def known(self, operation: str, field: str) -> list[str]:
        """Values for a field in a path or a query that name something that is there."""
        room = operation.partition("_")[0]
        if field == "machine":
            return [self.spare] if operation in FOR_THE_SPARE else [self.dev]
        if field == "network":
            return ["net"]
        if field == "volume":
            return ["vol"]
        if field == "path":
            return ["/etc", "/etc/hostname", "/tmp"]
        if field == "name":
            rooms = {"images": [IMAGE], "kernels": [self.kernel], "tokens": [], "catalogs": ["debian"]}
            # The kernel and the image have to stay: they are slow to make again.
            return [] if operation.endswith(("_delete", "_revoke")) else rooms.get(room, [])
        if field == "id" and room == "operations":
            return [one.id for one in self.client.operations.list()[-1:]]
        if field == "id" and operation in ("machines_get_exec", "machines_signal_exec"):
            return ["1"] if operation == "machines_get_exec" else []
        if field == "id" and operation == "templates_get":
            return [one.id for one in self.client.templates.list()[:1]]
        return []


@contextmanager
def open_place() -> Iterator[Place]:
    """The home is gone after the block; what its daemon did wrong is raised (see `Home.close`)."""
    with open_home(own_images=True, own_templates=True) as home:
        for name in ("kernels", "initramfs", "apt"):  # of all homes: a request could delete them
            link = home.directory / "cache" / name
            if link.is_symlink():
                target = link.resolve()
                link.unlink()
                shutil.copytree(target, link, symlinks=True)
        for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            home.env[variable] = f"http://{NOWHERE}"
        home.env["no_proxy"] = home.env["NO_PROXY"] = "127.0.0.1,localhost"
        home.env["BANGER_DEBIAN_MIRROR"] = f"http://{NOWHERE}/debian"
        scratch = home.directory / "scratch"
        scratch.mkdir()
        yield Place(home, scratch)
    assert not (HOMES / home.directory.name).exists()
