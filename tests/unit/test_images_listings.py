"""What changed between two lists of files, and lists that no agent makes."""

from __future__ import annotations

import os

import pytest

from banger.errors import Error
from banger.images.fetch.byte_range import ByteRange
from banger.images.fetch.lifeline import Lifeline
from banger.images.made.listings import compare

# Facts by path; a link's target follows its facts after "->".
Tree = dict[bytes, bytes]
DIRECTORY = b"d 755 0 0"
FILE = b"f 644 0 0 0:0 3 1.000000000 5.000000001"
LATER = b"f 644 0 0 0:0 3 1.000000000 5.000000002"
LINK = b"l 777 0 0 0:0 1 1.000000000 5.000000001->a"


def listed(raw: bytes) -> ByteRange:
    fd = os.memfd_create("list", os.MFD_CLOEXEC)
    os.write(fd, raw)
    return ByteRange(fd)


def packed(tree: Tree) -> bytes:
    texts = []
    for path, facts in tree.items():
        facts, _, target = facts.partition(b"->")
        texts += [facts, path, target]
    return b"".join(text + b"\0" for text in texts)


def differ(base: Tree, tree: Tree) -> list[tuple[str, str]]:
    with listed(packed(base)) as below, listed(packed(tree)) as above:
        return [(one.kind[0].upper(), one.path) for one in compare(below, above, Lifeline())]


@pytest.mark.parametrize(
    ("base", "tree", "changes"),
    [
        pytest.param({b"a": FILE}, {b"a": FILE}, [], id="nothing"),
        pytest.param({}, {b"a": FILE}, [("A", "/a")], id="a new file"),
        pytest.param({b"a": FILE}, {b"a": LATER}, [("C", "/a")], id="other contents, all else equal"),
        pytest.param({b"a": FILE}, {}, [("D", "/a")], id="a file that is gone"),
        pytest.param({b"a": LINK}, {b"a": LINK[:-1] + b"b"}, [("C", "/a")], id="a link that leads elsewhere"),
        pytest.param({b"d": DIRECTORY}, {b"d": b"d 700 0 0"}, [("C", "/d")], id="a mode"),
        pytest.param(
            {b"d": DIRECTORY, b"d/e": DIRECTORY},
            {b"d": DIRECTORY, b"d/e": DIRECTORY, b"d/e/f": FILE},
            [("C", "/d"), ("C", "/d/e"), ("A", "/d/e/f")],
            id="directories above a new file",
        ),
        pytest.param(
            {b"d": DIRECTORY, b"d/e": DIRECTORY, b"d/e/f": FILE},
            {b"d": DIRECTORY},
            [("C", "/d"), ("D", "/d/e")],
            id="a directory that is gone, as one",
        ),
        pytest.param(
            {b"d": DIRECTORY, b"d/f": FILE}, {b"d": FILE}, [("C", "/d")], id="a file in a directory's place"
        ),
        pytest.param(
            {b"d": FILE},
            {b"d": DIRECTORY, b"d/f": FILE},
            [("C", "/d"), ("A", "/d/f")],
            id="a directory in a file's place",
        ),
        pytest.param(
            {b"d": DIRECTORY, b"d/a": FILE},
            {b"d": DIRECTORY, b"d/b": FILE},
            [("C", "/d"), ("D", "/d/a"), ("A", "/d/b")],
            id="another name",
        ),
        pytest.param(
            {b"etc": DIRECTORY, b"etc/hosts": FILE},
            {b"etc": DIRECTORY, b"etc/hosts": LATER, b"etc/machine-id": FILE, b"run/x": FILE},
            [],
            id="what the agent writes",
        ),
        pytest.param(
            {},
            {b"b": FILE, b"a\n": FILE, b"\xe9": FILE},
            [("A", "/a\n"), ("A", "/b"), ("A", "/\0e9")],
            id="bytes",
        ),
    ],
)
def test_what_changed_is_told_as_docker_tells_it(
    base: Tree, tree: Tree, changes: list[tuple[str, str]]
) -> None:
    assert differ(base, tree) == changes


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        pytest.param(b"f", "ends within an entry", id="cut short"),
        pytest.param(FILE + b"\0a\0", "ends within an entry", id="without a target"),
        pytest.param(b"\0a\0\0", "no file system has", id="without facts"),
        pytest.param(b"x 644 0 0\0a\0\0", "no file system has", id="another type"),
        pytest.param(b"f 644 0 0\0a\0\0", "no file system has", id="a file with the facts of a directory"),
        pytest.param(FILE + b" 7\0a\0\0", "no file system has", id="more facts"),
        pytest.param(FILE + b"\0../a\0\0", "no file system has", id="a path that leads out"),
        pytest.param(FILE + b"\0/a\0\0", "no file system has", id="an absolute path"),
        pytest.param(FILE + b"\0a//b\0\0", "no file system has", id="an empty part"),
        pytest.param(b"a" * 3_000_000, "too long", id="a name without an end"),
    ],
)
def test_a_list_that_no_agent_makes_is_refused(raw: bytes, says: str) -> None:
    with listed(b"") as empty, listed(raw) as bad:
        for base, tree in ((empty, bad), (bad, empty)):
            with pytest.raises(Error, match=says) as caught:
                compare(base, tree, Lifeline())
            assert caught.value.code == "agent_error"
