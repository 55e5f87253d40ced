"""What is sent into the builder: the context without what .dockerignore names, links as links, and within limits."""

from __future__ import annotations

import io
import os
import tarfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.builds import context as contexts
from banger.builds.context import pack_context, read_context
from banger.builds.ignore import Ignored
from banger.client.trees import Complaints
from banger.errors import Error

NOTHING = io.BytesIO()


def ignored(patterns: str, *paths: str) -> list[bool | None]:
    """What is said of each path, after what is said of the directories above it."""
    asked = Ignored(patterns, ".dockerignore")
    said: dict[str, bool | None] = {}
    for path in paths:
        parts = path.split("/")
        for count in range(1, len(parts) + 1):
            said["/".join(parts[:count])] = asked.choose("/".join(parts[:count]))
    return [said[path] for path in paths]


@pytest.mark.parametrize(
    ("patterns", "path", "sent"),
    [
        ("", "a", True),
        ("# a\n\n  \n", "a", True),
        ("a", "a", False),
        ("/a/", "a", False),
        ("./a", "a", False),
        ("a", "a/b/c", False),
        ("a", "b/a", True),
        ("*/a", "b/a", False),
        ("*/a", "b/c/a", True),
        ("**/a", "a", False),
        ("**/a", "b/c/a", False),
        ("**/a/**/b", "x/a/b", False),
        ("**/a/**/b", "x/a/y/z/b", False),
        ("a/**", "a", True),
        ("a/**", "a/b/c", False),
        ("**", "a", False),
        ("*.md", "a.md", False),
        ("*.md", "a/b.md", True),
        ("**/*.md", "a/b.md", False),
        ("a?c", "abc", False),
        ("a?c", "ac", True),
        ("[a-c]x", "bx", False),
        ("[^a-c]x", "bx", True),
        ("[]a", "a", None),
        ("a\\*b", "a*b", False),
        ("a\\*b", "axb", True),
        ("*.md\n!README.md", "README.md", True),
        ("!README.md\n*.md", "README.md", False),
        ("a/..", "b", True),
        ("../b", "b", True),
        ("a\n", " a", True),
        ("\ufeffa\r\nb\r\n", "a", False),
        ("a b", "a b", False),
        ("*" * 1000 + "x", "y", True),
    ],
)
def test_patterns_mean_what_they_mean_in_docker(patterns: str, path: str, sent: bool | None) -> None:
    if sent is None:
        with pytest.raises(Error):
            ignored(patterns, path)
    else:
        assert ignored(patterns, path) == [sent]


def test_what_is_taken_back_in_is_found_below_what_is_left_out() -> None:
    patterns = "node\n!node/keep/*.js\n"
    asked = ("node", "node/other", "node/keep", "node/keep/a.js", "node/keep/a.ts")
    assert ignored(patterns, *asked) == [None, False, None, True, False]


@pytest.mark.parametrize(
    "pattern", ["[", "[]", "[a", "[a-", "[a-]", "[-a]", "a\\", "!", "! ", "a" * 5000, "a\n" * 1001]
)
def test_a_malformed_pattern_is_refused_and_says_where(pattern: str) -> None:
    with pytest.raises(Error) as caught:
        Ignored("ok\n" + pattern, "x.dockerignore")
    assert caught.value.code == "bad_request" and "x.dockerignore, line" in caught.value.message


def test_no_pattern_takes_long() -> None:
    begun = time.monotonic()
    asked = Ignored("*a" * 2000 + "\n" + "**/a/" * 800 + "b", ".dockerignore")
    assert asked.choose("/".join(["a" * 250] * 16)) is True
    assert asked.choose("a/" * 2000 + "c") is True
    assert time.monotonic() - begun < 20


@given(st.text(alphabet="ab*?[]^-!\\/.# \n", max_size=60), st.text(alphabet="ab/.", min_size=1, max_size=20))
def test_any_text_is_patterns_or_an_error(patterns: str, path: str) -> None:
    try:
        asked = Ignored(patterns, ".dockerignore")
    except Error:
        return
    assert asked.choose(path) in (True, False, None)


def members(directory: Path, file: str = "") -> dict[str, tarfile.TarInfo]:
    packed = b"".join(pack_context(read_context(str(directory), file, NOTHING), Complaints()))
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        return {member.name.rstrip("/"): member for member in archive}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    for path in ("Dockerfile", "src/a.c", "src/a.o", "secret/key", "secret/public/x", "deep/er/b.o"):
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text("FROM scratch")
    (tree / ".dockerignore").write_text("**/*.o\nsecret\n!secret/public\n")
    return tree


def test_a_context_is_the_dockerfile_and_what_is_not_ignored(tree: Path) -> None:
    assert sorted(members(tree)) == [
        "Dockerfile",
        "context",
        "context/.dockerignore",
        "context/Dockerfile",
        "context/deep",
        "context/deep/er",
        "context/secret",
        "context/secret/public",
        "context/secret/public/x",
        "context/src",
        "context/src/a.c",
    ]


def test_the_file_of_the_dockerfile_comes_before_that_of_the_context(tree: Path) -> None:
    (tree / "other").write_text("FROM scratch")
    (tree / "other.dockerignore").write_text("*\n!src/a.o")
    found = members(tree, "other")
    assert sorted(found) == ["Dockerfile", "context", "context/src", "context/src/a.o"]


def test_links_are_sent_as_links(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("mine")
    (tree / "way out").symlink_to(tmp_path / "outside")
    (tree / "passwd").symlink_to("/etc/passwd")
    found = members(tree)
    assert found["context/way out"].issym() and found["context/passwd"].issym()
    assert not [name for name in found if name.startswith("context/way out/")]


def test_too_large_a_context_is_refused_while_it_is_sent(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contexts, "MAX_BYTES", 4096)
    with pytest.raises(Error) as caught:
        members(tree)
    assert caught.value.code == "payload_too_large"


def test_a_dockerfile_alone_comes_from_stdin() -> None:
    context = read_context("-", "", io.BytesIO(b"FROM scratch"))
    assert context.directory == "" and b"FROM scratch" in b"".join(pack_context(context, Complaints()))


def test_what_cannot_be_read_is_an_error(tree: Path, tmp_path: Path) -> None:
    os.mkfifo(tree / "pipe")
    (tree / "dangling").symlink_to("nowhere")
    for place, file, code in (
        (str(tmp_path / "nothing"), "", "file_not_found"),
        (str(tmp_path), "", "file_not_found"),
        (str(tree), "nothing", "file_not_found"),
        (str(tree), "dangling", "file_not_found"),
        (str(tree), "pipe", "bad_request"),
        (str(tree), "src", "file_not_found"),
        ("-", "Dockerfile", "bad_request"),
        ("https://example.org/x.git", "", "unsupported"),
    ):
        with pytest.raises(Error) as caught:
            read_context(place, file, NOTHING)
        assert caught.value.code == code, place
