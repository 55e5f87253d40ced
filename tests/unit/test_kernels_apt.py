"""The private apt tree: which mirrors, which configuration, what apt's output means."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from banger.errors import Error
from banger.host.apt import (
    _ACQUIRE,
    MIRROR_VARIABLE,
    AptTree,
    Mirrors,
    _report_percent,
    find_mirrors,
    parse_stanza,
    parse_uris,
    pick_mirrors,
    plan_config,
    plan_sources,
)
from tests.support.reports import silent

KEYS = Path("/keys.gpg")
LIMIT_S = 20


def test_the_hosts_own_mirrors_are_picked() -> None:
    uris = [
        "https://packages.example/apt/",
        "cdrom:[Debian]/debian/",
        "http://mirror.example/debian/",
        "http://mirror.example/debian/",
        "http://mirror.example/debian-security/",
    ]
    assert pick_mirrors(uris) == Mirrors(
        "http://mirror.example/debian", "http://mirror.example/debian-security"
    )
    assert pick_mirrors(uris[:3]) == Mirrors("http://mirror.example/debian", None)
    assert pick_mirrors(uris[:2]) is None


def test_the_variable_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MIRROR_VARIABLE, "http://a.example/debian/ http://b.example/security")
    assert asyncio.run(find_mirrors()) == Mirrors("http://a.example/debian", "http://b.example/security")
    monkeypatch.setenv(MIRROR_VARIABLE, "http://a.example/debian")
    assert asyncio.run(find_mirrors()) == Mirrors("http://a.example/debian", None)


def test_a_host_without_debian_sources_is_told_what_to_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    empty = tmp_path / "apt.conf"
    empty.write_text(f'Dir::Etc "{tmp_path}";\nDir::State "{tmp_path}";\n')
    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)
    monkeypatch.setenv("APT_CONFIG", str(empty))
    with pytest.raises(Error) as caught:
        asyncio.run(find_mirrors())
    assert caught.value.code == "download_failed"
    assert MIRROR_VARIABLE in caught.value.hint


def test_sources_are_the_suite_its_updates_and_its_security() -> None:
    text = plan_sources(Mirrors("http://m/debian", "http://m/security"), "bookworm", KEYS)
    assert "URIs: http://m/debian\nSuites: bookworm bookworm-updates\n" in text
    assert "URIs: http://m/security\nSuites: bookworm-security\n" in text
    assert text.count("Signed-By: /keys.gpg\n") == 2
    assert plan_sources(Mirrors("http://m/debian", None), "bookworm", KEYS).count("Types:") == 1


def test_nothing_of_the_hosts_apt_is_read_or_written() -> None:
    config = plan_config(Path("/own"), "amd64", "")
    outside = [line for line in config.splitlines() if '"/' in line and '"/own' not in line]
    assert all('"/dev/null"' in line or "netrc" in line for line in outside)


@pytest.mark.parametrize(
    ("line", "taken"),
    [
        ('Acquire::http::Proxy "http://proxy.example:3128";', True),
        ('Acquire::https::CAInfo "/etc/ca.pem";', True),
        ('Acquire::http::Proxy::mirror.example "DIRECT";', True),
        ('Acquire::Check-Valid-Until "false";', True),
        ('Acquire::AllowInsecureRepositories "1";', False),
        ('Acquire::AllowWeakRepositories "1";', False),
        ('Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";', False),
        ('APT::Update::Post-Invoke:: "rm -rf /";', False),
    ],
)
def test_only_how_to_reach_mirrors_is_taken_over(line: str, taken: bool) -> None:
    assert bool(_ACQUIRE.match(line)) is taken


def test_the_description_of_a_package_is_read() -> None:
    found = parse_stanza(
        "Package: a\nVersion: 1-2\nDepends: b (= 1), c\nSize: 42\nDescription: x\n y: z\n\nPackage: q\n"
    )
    assert (found.name, found.version, found.size_bytes, found.depends) == ("a", "1-2", 42, "b (= 1), c")
    with pytest.raises(Error):
        parse_stanza("Package: a\n")


def test_the_files_of_a_plan_are_read() -> None:
    text = (
        "Reading package lists...\n"
        "'http://m/pool/a_1.deb' a_1%3a2.0-1_amd64.deb 1234 SHA256:aa\n"
        "'http://m/pool/b_1.deb' lib-b_3+x~1_all.deb 5 SHA256:bb\n"
    )
    assert [(p.name, p.version, p.size_bytes) for p in parse_uris(text)] == [
        ("a", "1:2.0-1", 1234),
        ("lib-b", "3+x~1", 5),
    ]


def test_progress_is_a_share_of_the_size() -> None:
    seen: list[tuple[object, ...]] = []

    def note(
        phase: str, message: str = "", done: int = 0, total: int = 0, unit: str = "", layers: object = ()
    ) -> None:
        seen.append((phase, message, done, total, unit))

    for line in ("dlstatus:1:25.5:Retrieving file 1 of 1", "dlstatus:1:x:y", "pmstatus:a:1:b", "E: no", ""):
        _report_percent(line, note, "download", 1000, "bytes")
    assert seen == [("download", "Retrieving file 1 of 1", 255, 1000, "bytes")]


def test_a_mirror_that_does_not_answer_is_our_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keys = tmp_path / "keys.gpg"
    keys.write_bytes(b"")
    monkeypatch.setattr("banger.host.apt.KEYRING", keys)
    monkeypatch.setenv(MIRROR_VARIABLE, f"file:{tmp_path}/nothing")
    tree = AptTree(tmp_path / "apt", "bookworm")
    with pytest.raises(Error) as caught:
        asyncio.run(tree.update(silent))
    assert caught.value.code == "download_failed"
    assert not (tree.directory / "updated").exists()


def test_missing_keys_name_their_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("banger.host.apt.KEYRING", tmp_path / "none.gpg")
    monkeypatch.setenv(MIRROR_VARIABLE, "file:/nothing")
    with pytest.raises(Error) as caught:
        asyncio.run(AptTree(tmp_path / "apt", "bookworm").update(silent))
    assert caught.value.code == "tool_missing"
    assert "debian-archive-keyring" in caught.value.hint


def test_readers_share_the_lock_and_a_writer_waits(tmp_path: Path) -> None:
    import fcntl

    tree = AptTree(tmp_path / "apt", "bookworm")
    events: list[str] = []

    async def write() -> None:
        async with tree._lock(fcntl.LOCK_EX):
            events.append("writer")

    async def main() -> None:
        async with asyncio.timeout(LIMIT_S):
            async with tree._lock(fcntl.LOCK_SH), tree._lock(fcntl.LOCK_SH):
                writing = asyncio.create_task(write())
                await asyncio.wait([writing], timeout=0.2)
                events.append("readers")
            await writing

    asyncio.run(main())
    assert events == ["readers", "writer"]
