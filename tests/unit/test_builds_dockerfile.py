"""What banger reads of a Dockerfile: the images that it names, and nothing that names a file of the host."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.builds.dockerfile import MAX_BYTES, decode, find_images, is_name
from banger.errors import Error

DIGEST = "@sha256:" + "0" * 64


def images(text: str, target: str = "", **arguments: str) -> list[str]:
    return sorted(find_images(text, "Dockerfile", arguments, "amd64", target))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM debian:bookworm", "debian:bookworm"),
        ("\ufefffrom debian", "debian"),
        ("  FROM\tlocalhost:5000/a/b:1.0_x  \r\n", "localhost:5000/a/b:1.0_x"),
        (f"FROM a/b:1{DIGEST}", f"a/b:1{DIGEST}"),
        ("FROM scratch\nCOPY a /", ""),
        ("# comment\n\nFROM a # no comment\n", None),
        ("#syntax=docker/dockerfile:1\nFROM a", "a"),
        ("# escape=`\nFROM `\n  a", "a"),
        ("FROM \\\n# between\n\n  a \\\n AS b", "a"),
        ("ARG B=12\nFROM debian:$B", "debian:12"),
        ("ARG B\nFROM debian:${B:-13}", "debian:13"),
        ("ARG B=x\nFROM debian${B:+:slim}", "debian:slim"),
        ('ARG A=1 B="2"\nFROM a:$A$B', "a:12"),
        ("ARG A=a\nARG B=${A}b\nFROM $B", "ab"),
        ("FROM --platform=$BUILDPLATFORM a AS x\nFROM --platform=linux/x86_64 b\nCOPY --from=x / /", "a b"),
        ("FROM a AS x\nFROM X\nRUN true", "a"),
        ("FROM a AS x\nFROM b AS y\nFROM c", "c"),
        ("FROM a\nFROM b\nCOPY --chown=1:1 --from=0 /x /", "a b"),
        ("FROM a\nCOPY --from=b:1 /x /", "a b:1"),
        ("FROM a\nARG V=2\nCOPY --from=b:$V /x /", "a b:2"),
        ("ARG V=3\nFROM a\nARG V\nCOPY --from=b:$V /x /", "a b:3"),
        ("FROM a\nCOPY --from=$UNKNOWN /x /", "a"),
        ("FROM a\nRUN --mount=type=bind,from=c,target=/c --mount=type=cache,target=/d true from=z", "a c"),
        ("FROM a\nCOPY x --from=b /", "a"),
        ("FROM a\nRUN echo $((1 << 2)) '<<EOF'", "a"),
        ("FROM 7", "7"),
        ("ARG X=$(id)\nFROM a", "a"),
    ],
)
def test_the_images_of_a_dockerfile(text: str, expected: str | None) -> None:
    text = decode(text.encode(), "Dockerfile")
    if expected is None:
        with pytest.raises(Error):
            images(text)
    else:
        assert images(text) == expected.split()


def test_arguments_of_the_user_come_first() -> None:
    assert images("ARG B=12\nFROM debian:$B\nARG C=1\nCOPY --from=x:$C / /", B="13", C="2") == [
        "debian:13",
        "x:2",
    ]


def test_a_stage_brings_what_it_needs_and_no_more() -> None:
    text = "FROM a AS one\nFROM b AS two\nCOPY --from=one / /\nFROM c AS three\nCOPY --from=two / /\nFROM d"
    assert [images(text, target) for target in ("one", "TWO", "2", "")] == [
        ["a"],
        ["a", "b"],
        ["a", "b", "c"],
        ["d"],
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "bad_request"),
        ("RUN true", "bad_request"),
        ("FROM", "bad_request"),
        ("FROM a b", "bad_request"),
        ("FROM a AS", "bad_request"),
        ("FROM --pull a", "bad_request"),
        ("FROM $NOTHING", "bad_request"),
        ("ARG A='x\nFROM a", "bad_request"),
        ("# escape=x\nFROM a", "bad_request"),
        ("FROM ${A", "unsupported"),
        ("FROM ${A:-${B}}", "unsupported"),
        ("FROM ${A#x}", "unsupported"),
        ("FROM --platform=linux/arm64 a", "unsupported"),
        ("FROM --platform=windows/amd64 a", "unsupported"),
        ("FROM a\nRUN <<EOF\nFROM b\nEOF", "unsupported"),
        ("FROM a\nCOPY <<-'END' /x", "unsupported"),
        ("FROM rootfs:/home/me", "bad_reference"),
        ("FROM oci:layout", "bad_reference"),
        ("FROM tar:x", "bad_reference"),
        ("FROM docker-archive:/x.tar", "bad_reference"),
        ("FROM oci-archive:x", "bad_reference"),
        ("FROM docker://x", "bad_reference"),
        ("FROM /etc", "bad_reference"),
        ("FROM ../x", "bad_reference"),
        ("FROM -", "bad_reference"),
        ("FROM a;b", "bad_reference"),
        ("ARG A=rootfs:/\nFROM $A", "bad_reference"),
        ("FROM a\nCOPY --from=rootfs:/ / /", "bad_reference"),
        ("FROM a\nRUN --mount=from=tar:x true", "bad_reference"),
        ("FROM a\nCOPY --from=1 / /", "bad_request"),
        ("FROM " + "a" * 5000, "bad_request"),
        ("ARG A0=" + "a" * 4000 + "\nARG A1=$A0$A0\nFROM x$A0$A0", "bad_request"),
        ("FROM a\n" * 1001, "bad_request"),
        ("FROM a\n" + "".join(f"COPY --from=b{n} / /\n" for n in range(64)), "bad_request"),
    ],
)
def test_what_is_wrong_is_refused_and_says_where(text: str, code: str) -> None:
    with pytest.raises(Error) as caught:
        images(text)
    assert caught.value.code == code and "Dockerfile" in caught.value.message


def test_an_unknown_stage_is_refused() -> None:
    with pytest.raises(Error) as caught:
        images("FROM a", "b")
    assert caught.value.code == "bad_request"


@pytest.mark.parametrize("data", [b"\xff", b"FROM a\0", b"a" * (MAX_BYTES + 1)])
def test_what_is_no_text_is_refused(data: bytes) -> None:
    with pytest.raises(Error) as caught:
        decode(data, "Dockerfile")
    assert caught.value.code == "bad_request"


def test_values_do_not_grow_without_end() -> None:
    lines = [
        "ARG A0=aaaaaaaaaaaaaaaa",
        *(f"ARG A{n}=$A{n - 1}$A{n - 1}" for n in range(1, 200)),
        "FROM a$A199",
    ]
    assert images("\n".join(lines)) == ["a"]


def test_a_large_file_is_read_in_little_time() -> None:
    begun = time.monotonic()
    for line in (
        "${A:-" * 200_000,
        "\\" * 1_000_000,
        "RUN " + "--mount=from=" * 70_000,
        "<<" * 500_000,
        "$" * 900_000,
    ):
        try:
            images("FROM a\n" + line)
        except Error:
            continue
    assert time.monotonic() - begun < 20


@given(st.text(alphabet="FROMARGCPYa:$ {}-=/\\\n\"'`#@<\t", max_size=200))
def test_no_text_does_more_than_raise_an_error(text: str) -> None:
    try:
        found = images(text)
    except Error:
        return
    assert all(is_name(name) for name in found)
