"""Indexes, manifests and configurations: what is understood, chosen, refused. Platforms."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import Error
from banger.images.reference.documents import (
    LAYER_GZIP,
    OCI_MANIFEST,
    Documents,
    Index,
    Manifest,
    check_platform,
    choose_manifest,
    digest_of,
    make_plan,
    parse_config,
    parse_document,
    platform_of,
)
from banger.images.reference.platform import Platform, choose, parse_platform, parse_platform_fields

AMD64 = Platform("linux", "amd64")
D = [f"sha256:{number:064x}" for number in range(10)]


def config(**fields: Any) -> dict[str, Any]:
    return {
        "os": "linux",
        "architecture": "amd64",
        "rootfs": {"type": "layers", "diff_ids": [D[1]]},
        **fields,
    }


def layer(**fields: Any) -> dict[str, Any]:
    return {"mediaType": LAYER_GZIP, "digest": D[2], "size": 5, **fields}


def manifest(**fields: Any) -> dict[str, Any]:
    return {"schemaVersion": 2, "config": {"digest": D[0], "size": 3}, "layers": [layer()], **fields}


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


def plan(
    manifest_document: dict[str, Any], config_document: dict[str, Any], platform: Platform = AMD64
) -> Any:
    parsed = parse_document(encoded(manifest_document))
    assert isinstance(parsed, Manifest)
    documents = Documents(encoded(manifest_document), encoded(config_document))
    return make_plan(parsed, documents, platform, "app:1")


def code_of(manifest_document: Any, config_document: Any = None) -> str:
    with pytest.raises(Error) as caught:
        plan(manifest_document, config_document or config())
    return caught.value.code


def test_a_plan_pairs_layers_with_diff_ids() -> None:
    made = plan(manifest(annotations={"a": "b"}), config())
    assert [(x.digest, x.size, x.diff_id, x.compression) for x in made.layers] == [(D[2], 5, D[1], "gzip")]
    assert made.documents is not None and made.manifest_digest == made.documents.digest
    assert (made.annotations, made.size_bytes) == ({"a": "b"}, 5)


def test_the_configuration_is_what_docker_would_run() -> None:
    run = {
        "Entrypoint": ["/e"],
        "Cmd": ["c"],
        "Env": ["A=b"],
        "WorkingDir": "/w",
        "User": "1:2",
        "StopSignal": "SIGINT",
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "Labels": {"l": "m"},
        "Unknown": [1],
    }
    made = plan(manifest(), config(config=run, history=[{}], new={"x": 1}))
    assert made.config.entrypoint == ["/e"] and made.config.exposed_ports == ["53/udp", "80/tcp"]
    assert (made.config.cwd, made.config.user, made.config.stop_signal) == ("/w", "1:2", "SIGINT")
    assert made.labels == {"l": "m"}


def test_what_go_writes_as_null_is_empty() -> None:
    nulls = dict.fromkeys(["Entrypoint", "Cmd", "Env", "WorkingDir", "User", "ExposedPorts", "Labels"])
    made = plan(
        manifest(layers=None, annotations=None), config(config=nulls, rootfs={"diff_ids": None}, variant=None)
    )
    assert made.layers == () and made.config.cmd == []


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({}, "image_invalid"),
        ([], "image_invalid"),
        (None, "image_invalid"),
        ({"schemaVersion": 1, "fsLayers": []}, "unsupported"),
        (manifest(manifests=[]), "image_invalid"),
        (manifest(mediaType="application/vnd.oci.image.index.v1+json"), "image_invalid"),
        (manifest(config=None), "image_invalid"),
        (manifest(config={"digest": "md5:1", "size": 1}), "image_invalid"),
        (manifest(config={"digest": D[0], "size": 9 << 20}), "image_invalid"),
        (
            manifest(config={"digest": D[0], "size": 1, "mediaType": "application/vnd.cncf.helm"}),
            "image_invalid",
        ),
        (manifest(layers=[layer(size=-1)]), "image_invalid"),
        (manifest(layers=[layer(size=1 << 60)]), "image_invalid"),
        (manifest(layers=[layer(size="5")]), "image_invalid"),
        (manifest(layers=[layer(size=10**30)]), "image_invalid"),
        (manifest(layers=[layer(digest="sha256:../../etc/passwd")]), "image_invalid"),
        (manifest(layers=[layer()] * 513), "image_invalid"),
        (manifest(layers=[]), "image_invalid"),
        (manifest(layers=[layer(), layer()]), "image_invalid"),
        (manifest(layers=[layer(urls=["http://x"])]), "unsupported"),
        (
            manifest(layers=[layer(mediaType="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")]),
            "unsupported",
        ),
        (
            manifest(layers=[layer(mediaType="application/vnd.oci.image.layer.nondistributable.v1.tar")]),
            "unsupported",
        ),
        (manifest(layers=[layer(mediaType="application/vnd.in-toto+json")]), "unsupported"),
        (manifest(layers=[layer(mediaType="")]), "unsupported"),
    ],
)
def test_a_manifest_that_cannot_be_is_refused(document: Any, code: str) -> None:
    assert code_of(document) == code


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (config(rootfs={"diff_ids": ["x"]}), "image_invalid"),
        (config(rootfs={"diff_ids": []}), "image_invalid"),
        ({"os": "linux"}, "image_invalid"),
        (config(config={"Cmd": "sh"}), "image_invalid"),
        (config(config={"Env": ["A=\0"]}), "image_invalid"),
        (config(os="windows"), "platform_not_found"),
        (config(architecture="arm64"), "platform_not_found"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(document: Any, code: str) -> None:
    assert code_of(manifest(), document) == code


def test_foreign_layers_are_named() -> None:
    with pytest.raises(Error, match="foreign layer"):
        plan(manifest(layers=[layer(urls=["http://x"])]), config())


@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(encoded))
def test_any_bytes_are_a_document_or_a_clear_error(data: bytes) -> None:
    try:
        parse_document(data)
    except Error as error:
        assert error.code in ("image_invalid", "unsupported")


def index(*platforms: tuple[str, str, str] | None) -> Index:
    entries = []
    for number, fields in enumerate(platforms):
        entry: dict[str, Any] = {"mediaType": OCI_MANIFEST, "digest": D[number], "size": 10}
        if fields is not None:
            entry["platform"] = dict(zip(("os", "architecture", "variant"), fields, strict=True))
        entries.append(entry)
    parsed = parse_document(encoded({"schemaVersion": 2, "manifests": entries}))
    assert isinstance(parsed, Index)
    return parsed


MULTI = index(
    ("linux", "amd64", ""),
    ("linux", "arm", "v5"),
    ("linux", "arm", "v7"),
    ("linux", "arm64", "v8"),
    ("unknown", "unknown", ""),
    ("windows", "amd64", ""),
    ("linux", "amd64", "v3"),
)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("linux/amd64", 0),
        ("amd64", 0),
        ("x86_64", 0),
        ("linux/amd64/v3", 6),
        ("linux/amd64/v2", 0),
        ("linux/arm64", 3),
        ("linux/arm64/v8", 3),
        ("linux/arm64/v9", 3),
        ("aarch64", 3),
        ("linux/arm/v7", 2),
        ("arm/v6", 1),
        ("armhf", 2),
    ],
)
def test_the_best_manifest_for_a_platform_is_chosen(wanted: str, found: int) -> None:
    assert choose_manifest(MULTI, parse_platform(wanted), "app").digest == D[found]


def test_an_index_without_the_platform_names_those_it_has() -> None:
    with pytest.raises(Error) as caught:
        choose_manifest(MULTI, parse_platform("s390x"), "app:1")
    assert caught.value.code == "platform_not_found"
    assert "linux/arm64" in caught.value.message and "unknown" not in caught.value.message
    assert "--platform" in caught.value.hint


def test_the_only_manifest_needs_no_platform() -> None:
    assert choose_manifest(index(None), AMD64, "app").digest == D[0]
    assert choose_manifest(index(None, ("unknown", "unknown", "")), AMD64, "app").digest == D[0]
    with pytest.raises(Error):
        choose_manifest(index(), AMD64, "app")


@pytest.mark.parametrize("text", ["", "/", "linux/", "a/b/c/d", "linux/am d64", "linux//v8"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(Error) as caught:
        parse_platform(text)
    assert caught.value.code == "bad_request"


def test_other_systems_than_linux_are_refused_by_name() -> None:
    with pytest.raises(Error, match="windows"):
        parse_platform("windows/amd64")


fields = st.tuples(
    st.sampled_from(["linux", "Linux", "windows"]),
    st.sampled_from(["amd64", "arm", "arm64", "x86_64", "riscv64"]),
    st.sampled_from(["", "v1", "7", "v8", "v9", "odd"]),
)


@given(st.lists(fields, max_size=6), fields)
def test_what_is_chosen_runs_on_what_was_wanted(available: list[tuple[str, str, str]], wanted: Any) -> None:
    target = parse_platform_fields(*wanted)
    found = choose(target, [parse_platform_fields(*entry) for entry in available])
    if found is not None:
        assert (found.os, found.architecture) == (target.os, target.architecture)
    assert choose(target, [target]) == target


def test_digests_are_sha256() -> None:
    assert digest_of(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "application/octet-stream",
        "application/json",
        "Application/JSON; charset=utf-8",
        "text/html",
        "text/plain",
        "application/vnd.docker.container.image.v1+json",
    ],
)
def test_a_configuration_may_be_called_what_says_nothing(kind: str) -> None:
    plan(manifest(config={"digest": D[0], "size": 1, "mediaType": kind}), config())


@pytest.mark.parametrize(
    "kind",
    [
        "application/vnd.cncf.helm.config.v1+json",
        "application/vnd.oci.empty.v1+json",
        "application/vnd.wasm.config.v0+json",
        "application/vnd.docker.plugin.v1+json",
    ],
)
def test_what_is_no_container_image_is_refused_by_its_name(kind: str) -> None:
    with pytest.raises(Error, match=re.escape(kind)):
        plan(manifest(config={"digest": D[0], "size": 1, "mediaType": kind}), config())


@pytest.mark.parametrize(
    ("named", "config_says", "platform", "warnings"),
    [
        ("", ("linux", "amd64", ""), "linux/amd64", 0),
        ("", ("linux", "x86_64", ""), "linux/amd64", 0),
        ("", ("", "", ""), "linux/amd64", 0),
        ("", ("linux", "amd64", "v2"), "linux/amd64/v2", 1),
        ("", ("linux", "amd64", "odd"), "linux/amd64/odd", 1),
        ("", ("unknown", "unknown", ""), "linux/amd64", 1),
        ("", ("linux", "unknown", ""), "linux/amd64", 1),
        ("linux/amd64", ("linux", "arm64", ""), "linux/amd64", 1),
        ("linux/amd64", ("windows", "amd64", ""), "linux/amd64", 1),
        ("linux/amd64", ("linux", "amd64", "v3"), "linux/amd64/v3", 1),
        ("linux/amd64/v2", ("linux", "amd64", "v2"), "linux/amd64/v2", 1),
        ("linux/amd64/v2", ("linux", "amd64", ""), "linux/amd64", 1),
        ("linux/amd64/v2", ("", "", ""), "linux/amd64/v2", 1),
    ],
)
def test_an_index_that_promised_the_platform_is_believed(
    named: str, config_says: tuple[str, str, str], platform: str, warnings: int
) -> None:
    fields = dict(zip(("os", "architecture", "variant"), config_says, strict=True))
    document = parse_config(encoded(config(**fields)))
    found, told = check_platform(document, AMD64, "app", parse_platform(named) if named else None)
    assert str(found) == platform and len(told) == warnings


@pytest.mark.parametrize(
    "platforms",
    [
        [("linux", "amd64", "v2")],
        [("linux", "x86_64", "v3"), ("linux", "amd64", "v2")][::-1],
        [("linux", "amd64", "odd")],
        [("unknown", "unknown", "")],
        [("", "", "")],
    ],
)
def test_an_odd_index_of_one_architecture_will_do(platforms: list[tuple[str, str, str]]) -> None:
    assert choose_manifest(index(*platforms), AMD64, "app").digest == D[0]


def test_a_newer_arm_is_another_machine() -> None:
    with pytest.raises(Error):
        choose_manifest(index(("linux", "arm", "v7")), parse_platform("arm/v6"), "app")


@given(st.lists(fields, max_size=6), fields)
def test_a_hint_is_something_that_can_be_followed(
    available: list[tuple[str, str, str]], own: tuple[str, str, str]
) -> None:
    """Who asks for the platform that an error names gets past that error, whatever the configuration says."""
    found = index(*available)
    document = parse_config(encoded(config(**dict(zip(("os", "architecture", "variant"), own, strict=True)))))
    try:
        choose_manifest(found, parse_platform("s390x"), "app")
    except Error as error:
        if "--platform" not in error.hint:
            return
        wanted = parse_platform(error.hint.rpartition(" ")[2])
        chosen = choose_manifest(found, wanted, "app")
        check_platform(document, wanted, "app", platform_of(chosen))
