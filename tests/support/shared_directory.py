"""A machine with directories of this host, and the server of them."""

from __future__ import annotations

from pathlib import Path

from tests.support.home import IMAGE, Home, command_lines

# How long a guest may believe what it was told, with room for a busy host.
SEEN_S = 10


class Sharer:
    """A machine of this name that has `top` at /src, until it is deleted."""

    def __init__(self, home: Home, name: str, top: Path, *options: str) -> None:
        self.home = home
        self.name = name
        self.top = top
        home.text(
            "vm", "run", "-d", "--name", name, "-v", f"{top}:/src", *options, IMAGE, "--", "sleep", "infinity"
        )

    def sh(self, script: str, *, machine: str = "", timeout_s: float = 90) -> str:
        return self.home.text(
            "vm", "exec", "-u", "root", machine or self.name, "--", "sh", "-c", script, timeout_s=timeout_s
        )

    def fails(self, script: str, *, machine: str = "") -> str:
        """What it said."""
        done = self.home.run("vm", "exec", "-u", "root", machine or self.name, "--", "sh", "-c", script)
        assert done.returncode != 0, done.stdout
        return done.stderr.decode()

    def perl(self, script: str, *, machine: str = "") -> str:
        words = ("vm", "exec", "-u", "root", "-i", machine or self.name, "--", "perl", "-")
        return self.home.text(*words, stdin=script.encode())

    def put(self, program: Path) -> str:
        """Copies a program to the guest's own disk; its path there."""
        path = f"/root/{program.name}"
        self.home.text("vm", "cp", str(program), f"{self.name}:{path}")
        return path

    def servers(self, top: Path | None = None) -> list[int]:
        return servers_of(top or self.top)

    def delete(self) -> None:
        self.home.text("vm", "delete", "-f", self.name)


def servers_of(top: Path) -> list[int]:
    """The processes that serve this directory."""
    needle = f":{top}".encode()
    return [
        pid
        for pid, line in command_lines()
        if b"share-" in line
        and b"--channel" in line
        and any(word.endswith(needle) for word in line.split(b"\0"))
    ]
