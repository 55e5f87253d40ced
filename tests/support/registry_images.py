"""Images for tests, made with buildah and skopeo: FROM scratch, without network, in a storage of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.registry import call, require_tools


class Builder:
    """Images made with buildah and skopeo, without network, below one directory."""

    def __init__(self, directory: Path) -> None:
        require_tools("buildah", "skopeo")
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        policy = directory / "policy.json"
        policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        self._skopeo = ["skopeo", "--policy", str(policy)]
        self._buildah = ["buildah", "--storage-driver", "vfs"]
        self._buildah += ["--root", str(directory / "root"), "--runroot", str(directory / "runroot")]
        self.policy = ["--signature-policy", str(policy)]

    def buildah(self, *argv: str) -> str:
        return call(*self._buildah, *argv, BUILDAH_ISOLATION="chroot")

    def image(self, name: str, layers: list[dict[str, bytes]], *config: str, arch: str = "amd64") -> str:
        """FROM scratch, a layer for each table of files; its name in buildah's storage."""
        base = "scratch"
        for number, files in enumerate(layers):
            tree = self._directory / "trees" / f"{name}-{arch}-{number}"
            for path, data in files.items():
                (tree / path).parent.mkdir(parents=True, exist_ok=True)
                (tree / path).write_bytes(data)
            container = self.buildah("from", "--pull-never", "--arch", arch, *self.policy, base)
            self.buildah("copy", "-q", container, str(tree), "/")
            if config:
                self.buildah("config", *config, container)
            base = f"localhost/{name}-{arch}:{number}"
            self.buildah("commit", "-q", *self.policy, container, base)
            self.buildah("rm", container)
        return base

    def push(self, image: str, destination: str, *options: str) -> None:
        """To any transport that buildah writes."""
        self.buildah("push", "-q", "--tls-verify=false", *self.policy, *options, image, destination)

    def push_index(self, images: list[str], destination: str) -> None:
        name = f"localhost/index-{len(images)}"
        self.buildah("manifest", "create", name)
        for image in images:
            self.buildah("manifest", "add", name, image)
        self.buildah("manifest", "push", "-q", "--all", "--tls-verify=false", *self.policy, name, destination)

    def copy(self, source: str, destination: str, *options: str) -> None:
        call(*self._skopeo, "copy", "-q", *options, source, destination)

    def close(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)
