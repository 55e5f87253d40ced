"""A private apt tree: signed package lists and packages of a Debian suite, without touching the host's apt.

    <directory>/apt.conf                     the only configuration apt reads
    <directory>/etc/sources.list.d/          the suite, its updates and its security updates
    <directory>/state/  <directory>/cache/   lists, binary caches
    <directory>/updated                      digest of the configuration the lists were fetched with
    <directory>/lock                         flock: shared to read the lists, exclusive to replace them

Where the archive is comes from the host's own apt sources, so a mirror or proxy the user has chosen is
respected, or from BANGER_DEBIAN_MIRROR ("MAIN [SECURITY]", takes precedence). apt verifies signatures and
hashes, with the keyring of the host's debian-archive-keyring package; nothing here weakens that.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from banger.errors import Error, ToolFailed
from banger.host import cpu
from banger.host.fs import write_file
from banger.host.run import Result, run
from banger.host.thread import in_thread
from banger.model.operation import Report

MIRROR_VARIABLE = "BANGER_DEBIAN_MIRROR"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
FRESH_S = 3600.0
_UPDATE_TIMEOUT_S = 900
_DOWNLOAD_TIMEOUT_S = 3600
_SCHEMES = ("http:", "https:", "ftp:", "tor+http:", "tor+https:", "file:")
# Settings of the host's apt that say how to reach its mirrors. Settings that accept unsigned or weakly signed lists are
# not copied.
_ACQUIRE = re.compile(
    r"Acquire::(http|https|ftp|tor|socks|Check-Valid-Until|Check-Date|Max-ValidTime|Max-FutureTime|Retries"
    r"|ForceIPv4|ForceIPv6|By-Hash|Proxy-Auto-Detect|ProxyAutoDetect)(::\S*)? \".*\";$"
)


@dataclass(frozen=True)
class Mirrors:
    """Base URIs. `security` is None where the host has no source for security updates."""

    main: str
    security: str | None


@dataclass(frozen=True)
class Package:
    """One version of a binary package, as the signed lists describe it."""

    name: str
    version: str
    size_bytes: int
    depends: str = ""


def suite_directory(root: Path, suite: str, architecture: str) -> Path:
    """The directory of a suite's tree. Lists of another architecture than this host's have a directory of their own."""
    return root / (suite if architecture == cpu.architecture() else f"{suite}-{architecture}")


class AptTree:
    """Lives as long as the caller needs it, and holds no resources between calls. Several trees, in several processes,
    may share a directory."""

    def __init__(self, directory: Path, suite: str, architecture: str = "amd64") -> None:
        self.directory = directory
        self.suite = suite
        self.architecture = architecture

    async def mirrors(self) -> Mirrors:
        """The mirrors from which this tree fetches. Raises `download_failed` when the host knows no Debian archive."""
        return await find_mirrors()

    async def update(self, report: Report, force: bool = False) -> None:
        """Fetch the package lists, unless they are less than an hour old.

        Raises `download_failed`, and `tool_missing` without apt or the archive's keyring."""
        sources = plan_sources(await find_mirrors(), self.suite, require_keyring())
        config = plan_config(self.directory, self.architecture, await acquire_options())
        key = hashlib.sha256((sources + config).encode()).hexdigest()
        if not force and self._is_fresh(key):
            return
        async with self._lock(fcntl.LOCK_EX):
            if not force and self._is_fresh(key):
                return
            await in_thread(self._write, sources, config)
            report("package lists", f"Debian {self.suite}")
            await self._apt(
                ["apt-get", "-o", "APT::Update::Error-Mode=any", "-o", "APT::Status-Fd=2", "update"],
                timeout_s=_UPDATE_TIMEOUT_S,
                on_line=lambda line: _report_percent(line, report, "package lists", 100, ""),
            )
            await in_thread(write_file, self.directory / "updated", key.encode())

    async def find(self, package: str) -> Package:
        """The candidate version of a package. Raises `download_failed` when the suite has no such package."""
        result = await self._read(["apt-cache", "show", "--no-all-versions", package])
        return parse_stanza(result.stdout.decode())

    async def find_dependency(self, package: str, prefix: str) -> Package:
        """The package that a meta package stands for: its first dependency whose name begins with `prefix`, or the
        package itself."""
        found = await self.find(package)
        for dependency in found.depends.split(","):
            name = dependency.split()[0].split(":")[0] if dependency.strip() else ""
            if name.startswith(prefix):
                return await self.find(name)
        return found

    async def prepare_install(self, packages: Sequence[str]) -> list[Package]:
        """The packages, sorted, that an installation of `packages` (names or apt patterns) would bring into an empty
        system."""
        result = await self._read(["apt-get", "install", "--yes", "--print-uris", *packages])
        return sorted(parse_uris(result.stdout.decode()), key=lambda package: package.name)

    async def download(self, package: Package, into: Path, report: Report) -> Path:
        """Fetch a package and verify it. Returns the path of the .deb file in `into`."""
        await in_thread(into.mkdir, parents=True, exist_ok=True)
        report("download", package.name, 0, package.size_bytes, "bytes")
        await self._read(
            ["apt-get", "-o", "APT::Status-Fd=2", "download", f"{package.name}={package.version}"],
            cwd=into,
            timeout_s=_DOWNLOAD_TIMEOUT_S,
            on_line=lambda line: _report_percent(line, report, "download", package.size_bytes, "bytes"),
        )
        found = await in_thread(lambda: sorted(into.glob(f"{package.name}_*.deb")))
        if not found:
            raise Error("download_failed", f"apt fetched no file for {package.name}")
        return found[0]

    async def _read(
        self,
        argv: list[str],
        cwd: Path | None = None,
        timeout_s: float = 120,
        on_line: Callable[[str], None] | None = None,
    ) -> Result:
        """Run apt with the shared lock, so that no other process replaces the lists meanwhile."""
        async with self._lock(fcntl.LOCK_SH):
            return await self._apt(argv, cwd, timeout_s, on_line)

    async def _apt(
        self,
        argv: list[str],
        cwd: Path | None = None,
        timeout_s: float = 120,
        on_line: Callable[[str], None] | None = None,
    ) -> Result:
        try:
            return await run(
                argv,
                cwd=str(cwd) if cwd else None,
                env={"APT_CONFIG": str(self.directory / "apt.conf")},
                timeout_s=timeout_s,
                on_line=on_line,
            )
        except ToolFailed as exc:
            raise Error(
                "download_failed",
                f"apt: {_first_error(exc)}",
                "check the network and the mirrors in the host's apt sources, "
                f"or name a Debian mirror in {MIRROR_VARIABLE}",
                exc.details,
            ) from exc

    def _is_fresh(self, key: str) -> bool:
        stamp = self.directory / "updated"
        try:
            age_s = time.time() - stamp.stat().st_mtime
            return 0 <= age_s < FRESH_S and stamp.read_text() == key
        except OSError:
            return False

    def _write(self, sources: str, config: str) -> None:
        for name in ("etc/sources.list.d", "state/lists/partial", "cache/archives/partial", "log"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        (self.directory / "state/status").touch()
        (self.directory / "updated").unlink(missing_ok=True)
        write_file(self.directory / "etc/sources.list.d/debian.sources", sources.encode())
        write_file(self.directory / "apt.conf", config.encode())

    @asynccontextmanager
    async def _lock(self, kind: int) -> AsyncIterator[None]:
        """Wait for the lock; apt itself would fail at once. Polled, so that a cancellation ends the wait."""
        self.directory.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(fd, kind | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await asyncio.sleep(0.05)
            yield
        finally:
            os.close(fd)


async def find_mirrors() -> Mirrors:
    """The mirrors of BANGER_DEBIAN_MIRROR, or else of the host's own sources. Raises `download_failed` when there are
    none."""
    given = os.environ.get(MIRROR_VARIABLE, "").split()
    if given:
        return Mirrors(given[0].rstrip("/"), given[1].rstrip("/") if len(given) > 1 else None)
    result = await run(["apt-get", "indextargets", "--format", "$(REPO_URI)"], check=False)
    found = pick_mirrors(result.stdout.decode("utf-8", "replace").split())
    if found is None:
        raise Error(
            "download_failed",
            "this host's apt sources name no Debian archive",
            f'set {MIRROR_VARIABLE}="MAIN SECURITY", the URIs of a Debian mirror and its security archive',
        )
    return found


def pick_mirrors(uris: Sequence[str]) -> Mirrors | None:
    """The first archive of each kind among the host's repositories."""
    usable = [uri.rstrip("/") for uri in uris if uri.startswith(_SCHEMES)]
    main = next((uri for uri in usable if uri.endswith("/debian")), None)
    security = next((uri for uri in usable if uri.endswith("/debian-security")), None)
    return Mirrors(main, security) if main else None


async def acquire_options() -> str:
    """How the host's apt reaches its mirrors (proxies, certificates, retries), as apt.conf lines."""
    result = await run(["apt-config", "dump", "Acquire"], check=False)
    lines = result.stdout.decode("utf-8", "replace").splitlines()
    return "".join(line + "\n" for line in lines if _ACQUIRE.match(line))


def require_keyring() -> Path:
    """The path of the archive's keyring. Raises `tool_missing`."""
    if not KEYRING.exists():
        raise Error(
            "tool_missing",
            "the keys of the Debian archive are not installed",
            "apt-get install debian-archive-keyring",
        )
    return KEYRING


def plan_sources(mirrors: Mirrors, suite: str, keyring: Path) -> str:
    """The text of a deb822 sources file."""
    stanzas = [(mirrors.main, f"{suite} {suite}-updates")]
    if mirrors.security:
        stanzas.append((mirrors.security, f"{suite}-security"))
    return "\n".join(
        f"Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main\nSigned-By: {keyring}\n"
        for uri, suites in stanzas
    )


def plan_config(directory: Path, architecture: str, acquire: str) -> str:
    """The apt.conf of a tree. apt reads the file that APT_CONFIG names first, and this file names no others: apt never
    reads the host's configuration, nor runs its hooks."""
    return f"""{acquire}Acquire::Languages "none";
Acquire::Retries "3";
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Dir::Etc "{directory}/etc";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{directory}/etc/sources.list.d";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::netrc "/etc/apt/auth.conf";
Dir::Etc::netrcparts "/etc/apt/auth.conf.d";
Dir::State "{directory}/state";
Dir::State::status "{directory}/state/status";
Dir::Cache "{directory}/cache";
Dir::Log "{directory}/log";
"""


def parse_stanza(text: str) -> Package:
    """The first stanza of `apt-cache show`. Raises `download_failed` when a field is missing."""
    fields: dict[str, str] = {}
    for line in text.split("\n\n", 1)[0].splitlines():
        key, colon, value = line.partition(": ")
        if colon and not key.startswith(" "):
            fields.setdefault(key, value.strip())
    try:
        return Package(fields["Package"], fields["Version"], int(fields["Size"]), fields.get("Depends", ""))
    except (KeyError, ValueError) as exc:
        raise Error("download_failed", "apt described a package in an unknown form") from exc


def parse_uris(text: str) -> list[Package]:
    """The packages in the lines `'URI' name_version_arch.deb SIZE HASH` of `--print-uris`."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if line.startswith("'") and len(words) >= 3 and words[1].endswith(".deb") and words[2].isdigit():
            name, version, _ = unquote(words[1]).rsplit("_", 2)
            found.append(Package(name, version, int(words[2])))
    return found


def _report_percent(line: str, report: Report, phase: str, total: int, unit: str) -> None:
    """Report what apt writes to its status descriptor: `dlstatus:<item>:<percent>:<message>`."""
    kind, *fields = line.split(":", 3)
    if kind != "dlstatus" or len(fields) != 3:
        return
    try:
        percent = min(max(float(fields[1]), 0.0), 100.0)
    except ValueError:
        return
    report(phase, fields[2], int(total * percent / 100), total, unit)


def _first_error(exc: Error) -> str:
    lines = str(exc.details.get("stderr", "")).splitlines()
    return next((line[2:].strip() for line in lines if line.startswith("E:")), exc.message)
