"""Real images in a real registry: built by buildah, pushed to docker-registry on loopback, once a test process.

static    one static program on scratch
debian    three layers: a system, then deletions and replacements, then a program with a capability
systemd   the same system with its init
shell     busybox alone: links, a shell, ONBUILD of nothing
worker    User, WorkingDir that does not exist, Entrypoint and Cmd
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from banger.agent.binary import agent_binary
from banger.host import cpu
from tests.support.home import IMAGE, Home, golden_home
from tests.support.registry import call
from tests.support.registry_images import Builder


class Shelf:
    """`ref(name)` is where an image is in the registry."""

    def __init__(self, directory: Path, registry: str) -> None:
        if os.geteuid() != 0:
            pytest.skip("capability missing: mounting a disk to read it needs root")
        self.directory = directory
        self.registry = registry
        self.builder = Builder(directory / "buildah")
        self.system = directory / "system.tar"
        _pack_system(golden_home(), directory / "mount", self.system)

    def ref(self, name: str) -> str:
        return f"{self.registry}/{name}:1"

    def push_all(self) -> None:
        self._push_static()
        self._push_worker()
        self._push_debian()

    def push_changeable(self) -> None:
        """Two layers with a few programs, and files to change and to delete."""
        tree = self.directory / "changeable"
        (tree / "srv/gone-directory").mkdir(parents=True)
        (tree / "srv/gone-directory/inner").write_text("inner")
        (tree / "srv/gone").write_text("gone")
        shutil.copy("/bin/busybox" if Path("/bin/busybox").exists() else _busybox(), tree / "busybox")
        for name in ("sh", "cat", "ls", "sleep", "stat", "rm", "rmdir", "ln", "mkdir"):
            (tree / name).symlink_to("busybox")
        container = self._from("scratch")
        self._add(container, f"{tree}/.", "/")
        lower = self._commit(container, "changeable-lower", keep=True)
        container = self._from(lower)
        (self.directory / "changed").write_text("first")
        self._add(container, f"{self.directory}/changed", "/srv/changed")
        self._config(container, "--env", "PATH=/")
        self._commit(container, "changeable")

    def _push_static(self) -> None:
        container = self._from("scratch")
        self._add(container, agent_binary(cpu.architecture()), "/program")
        self._config(container, "--entrypoint", '["/program"]', "--cmd", "--version", "--env", "A=1")
        self._commit(container, "static")

    def _push_worker(self) -> None:
        """A user of its own, known only to the image's passwd."""
        tree = self.directory / "worker"
        (tree / "etc").mkdir(parents=True)
        (tree / "etc/passwd").write_text("root:x:0:0::/root:/sh\nworker:x:1234:1235::/home/worker:/sh\n")
        (tree / "etc/group").write_text("root:x:0:\nworkers:x:1235:\nextra:x:77:worker\n")
        shutil.copy("/bin/busybox" if Path("/bin/busybox").exists() else _busybox(), tree / "busybox")
        for name in ("sh", "id", "pwd", "echo", "env", "ls", "cat", "sleep", "stat"):
            (tree / name).symlink_to("busybox")
        container = self._from("scratch")
        self._add(container, f"{tree}/.", "/")
        self._config(container, "--user", "worker", "--workingdir", "/srv/work", "--env", "PATH=/")
        self._config(
            container,
            "--entrypoint",
            '["/sh", "-c"]',
            "--cmd",
            '["id; pwd; echo $WORD"]',
            "--env",
            "WORD=hello",
        )
        self._config(container, "--stop-signal", "SIGUSR1", "--port", "8080/tcp")
        self._commit(container, "worker")

    def _push_debian(self) -> None:
        container = self._from("scratch")
        self._add(container, self.system, "/")
        base = self._commit(container, "systemd", keep=True)
        self._mutate(
            base,
            "debian-middle",
            "rm -rf usr/share/doc usr/share/man etc/motd; mkdir -p usr/share/doc; echo only > usr/share/doc/file; "
            "rm -rf opt; ln -s usr/share opt; echo replaced > etc/issue; ln etc/issue etc/issue.too; "
            "touch 'etc/new\nline' \"etc/quo'te\"; chown 4321:8765 etc/issue; mknod dev/thing c 1 7",
        )
        self._mutate(
            "localhost/debian-middle",
            "debian",
            "rm etc/issue; echo fresh > etc/issue; cp bin/cat usr/local/bin/capable; "
            "setcap cap_net_raw,cap_dac_override=ep usr/local/bin/capable; setfattr -n user.colour -v blue etc/issue",
            "--cmd",
            "cat /etc/issue /etc/issue.too",
        )

    def _mutate(self, base: str, name: str, script: str, *config: str) -> None:
        container = self._from(base)
        root = self.builder.buildah("mount", container)
        subprocess.run(["sh", "-euc", script], cwd=root, check=True, capture_output=True)
        self.builder.buildah("umount", container)
        if config:
            self._config(container, *config)
        self._commit(container, name, keep=True)

    def _from(self, base: str) -> str:
        return self.builder.buildah("from", "--pull-never", *self.builder.policy, base)

    def _add(self, container: str, source: Path | str, target: str) -> None:
        self.builder.buildah("add", "-q", container, str(source), target)

    def _config(self, container: str, *options: str) -> None:
        self.builder.buildah("config", *options, container)

    def _commit(self, container: str, name: str, *, keep: bool = False) -> str:
        local = f"localhost/{name}"
        self.builder.buildah("commit", "-q", *self.builder.policy, container, local)
        self.builder.buildah("rm", container)
        if name != "debian-middle":
            self.builder.push(local, f"docker://{self.ref(name)}")
        if not keep:
            self.builder.buildah("rmi", local)
        return local

    def close(self) -> None:
        self.builder.close()


def _busybox() -> str:
    pytest.skip("capability missing: busybox-static is not installed")


def _pack_system(golden: Home, mount: Path, tar: Path) -> None:
    """The default image's tree, as the kernel reads its disk."""
    (image,) = [i for i in golden.json("image", "list") if i["name"] == IMAGE]
    golden.run("system", "stop", check=True)
    disk = golden.directory / "cache/images" / f"{image['digest']}.ext4"
    mount.mkdir()
    call("mount", "-o", "ro,loop,noload", str(disk), str(mount))
    try:
        everything = ("--xattrs", "--xattrs-include=*", "--numeric-owner", "--exclude=./lost+found")
        call("tar", *everything, "-C", str(mount), "-cf", str(tar), ".")
    finally:
        call("umount", str(mount))
