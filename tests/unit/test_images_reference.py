"""References and sources are read as Docker and skopeo write them, and written as they were read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import Error
from banger.images.reference.reference import (
    DockerArchive,
    OciArchive,
    OciLayout,
    Reference,
    StandardInput,
    TarFile,
    format_source,
    parse_reference,
    parse_registry,
    parse_source,
)

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("debian", "docker.io/library/debian:latest", "debian:latest"),
        ("debian:bookworm", "docker.io/library/debian:bookworm", "debian:bookworm"),
        ("team/app", "docker.io/team/app:latest", "team/app:latest"),
        ("docker.io/debian", "docker.io/library/debian:latest", "debian:latest"),
        ("index.docker.io/library/debian", "docker.io/library/debian:latest", "debian:latest"),
        ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
        ("localhost:5000/app:1", "localhost:5000/app:1", "localhost:5000/app:1"),
        ("Upper/app", "Upper/app:latest", "Upper/app:latest"),
        ("registry.lan/a/b/c:v1.2", "registry.lan/a/b/c:v1.2", "registry.lan/a/b/c:v1.2"),
        ("127.0.0.1:5000/a__b/c--d", "127.0.0.1:5000/a__b/c--d:latest", "127.0.0.1:5000/a__b/c--d:latest"),
        ("[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest"),
        (f"app@{DIGEST}", f"docker.io/library/app@{DIGEST}", f"app@{DIGEST}"),
        (f"app:1@{DIGEST}", f"docker.io/library/app:1@{DIGEST}", f"app:1@{DIGEST}"),
        ("docker.io/foo.bar/app", "docker.io/foo.bar/app:latest", "docker.io/foo.bar/app:latest"),
    ],
)
def test_a_reference_is_spelt_out_and_shortened(text: str, canonical: str, familiar: str) -> None:
    reference = parse_reference(text)
    assert (reference.canonical, reference.familiar) == (canonical, familiar)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "@",
        "/",
        "/app",
        "app/",
        "a//b",
        "App",
        "app:",
        "app:-x",
        f"app:{'x' * 129}",
        "app:a/b:c",
        "app@",
        "app@sha256:abc",
        f"app@sha512:{HEX}{HEX}",
        f"app@{DIGEST}@{DIGEST}",
        f"app@sha256:{HEX.upper()}",
        HEX,
        "a" * 250,
        "app\n",
        "app name",
        "a..b",
        "-a",
        "a-",
        "localhost:port/app",
        "user@host/app",
        "https://host/app",
        "[::1/app",
        "é/app",
        "app\0",
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(Error) as caught:
        parse_reference(text)
    assert caught.value.code == "bad_reference" and caught.value.hint


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("oci:/a/b", OciLayout("/a/b")),
        ("oci:/a/b:1.0", OciLayout("/a/b", "1.0")),
        ("oci-archive:/a.tar:x", OciArchive("/a.tar", "x")),
        ("docker-archive:/a.tar:host:5000/app:1", DockerArchive("/a.tar", "host:5000/app:1")),
        ("docker-archive:/a.tar:@1", DockerArchive("/a.tar", "@1")),
        ("tar:/with:colon.tar", TarFile("/with:colon.tar")),
        ("-", StandardInput()),
        ("debian", Reference("docker.io", "library/debian", "latest")),
        ("docker.io/library/oci:1", Reference("docker.io", "library/oci", "1")),
    ],
)
def test_sources_are_told_apart(text: str, source: object) -> None:
    assert parse_source(text) == source
    assert parse_source(format_source(parse_source(text))) == source


@pytest.mark.parametrize("text", ["oci:", "oci::tag", "tar:", "docker-archive:", "oci:/a\0b"])
def test_a_source_without_a_path_is_refused(text: str) -> None:
    with pytest.raises(Error) as caught:
        parse_source(text)
    assert caught.value.code == "bad_reference"


@pytest.mark.parametrize(
    ("text", "registry"),
    [
        ("localhost:5000", "localhost:5000"),
        ("https://registry.lan/", "registry.lan"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "docker.io"),
    ],
)
def test_a_registry_is_read_alone(text: str, registry: str) -> None:
    assert parse_registry(text) == registry


@pytest.mark.parametrize("text", ["", "host/path", "a b", "-x", "host:port"])
def test_what_is_no_registry_is_refused(text: str) -> None:
    with pytest.raises(Error):
        parse_registry(text)


component = st.from_regex(r"[a-z0-9]+((\.|_|__|-{1,3})[a-z0-9]+){0,2}", fullmatch=True).filter(
    lambda s: len(s) < 40
)
registries = st.sampled_from(["docker.io", "localhost", "localhost:5000", "a.b:1", "[::1]:5000", "UP"])
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)


@given(registries, st.lists(component, min_size=1, max_size=4), tags, st.sampled_from(["", DIGEST]))
def test_what_is_written_is_read_again(registry: str, parts: list[str], tag: str, digest: str) -> None:
    reference = parse_reference(f"{registry}/{'/'.join(parts)}:{tag}" + (f"@{digest}" if digest else ""))
    assert parse_reference(reference.canonical) == parse_reference(reference.familiar) == reference
    assert parse_source(format_source(reference)) == reference


@given(st.text(max_size=80))
def test_any_text_is_a_source_or_a_clear_error(text: str) -> None:
    try:
        source = parse_source(text)
    except Error as error:
        assert error.code == "bad_reference"
    else:
        assert parse_source(format_source(source)) == source


def test_what_other_tools_write_before_a_reference_is_understood() -> None:
    assert parse_source("docker://registry.lan:5000/app:1") == parse_reference("registry.lan:5000/app:1")
    assert parse_source("docker://debian") == parse_reference("debian")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("docker-daemon:app:1", "docker save"),
        ("containers-storage:localhost/app", "podman save"),
        ("https://registry.lan/app", "without https://"),
        ("HTTP://registry.lan/app.tar", "without http://"),
        ("file:///tmp/app.tar", "docker-archive:"),
        ("dir:/tmp/app", "oci:"),
        ("oci://registry.lan/app", "registry.lan/app"),
    ],
)
def test_what_only_other_tools_read_is_refused_with_a_way_out(text: str, hint: str) -> None:
    with pytest.raises(Error) as caught:
        parse_source(text)
    assert caught.value.code == "bad_reference" and hint in caught.value.hint
