"""A registry on loopback to a finished root disk: `banger image pull` against skopeo, umoci and mke2fs, in turns; both
against the floor of `bench.importing`. Every turn begins without a blob, a disk or a tree of an earlier one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from functools import partial
from pathlib import Path

from bench.importing import DEBIAN, ensure_image, layers_of, run_apart
from bench.noise import Sample, in_turns, ratio, timed_ms
from bench.place import BUILD, ask, banger, call
from bench.table import Row
from tests.support.registry import open_registry_server

RUNS = 5
WORK = BUILD / "pulling"
_DISK_BYTES = 1 << 30


def measure() -> list[Row]:
    shutil.rmtree(WORK, ignore_errors=True)
    directory = ensure_image(DEBIAN)
    try:
        with open_registry_server(WORK / "registry") as server:
            ref = f"{server.host}/debian:bench"
            push_image(directory, ref)
            return _compare(directory, ref)
    finally:
        shutil.rmtree(WORK, ignore_errors=True)


def _compare(directory: Path, ref: str) -> list[Row]:
    _forget_peak()
    cold = in_turns(
        {
            "banger": lambda: pull_ms(ref, forget_blobs=True),
            "others": lambda: _timed_others(ref),
            "floor": lambda: run_apart("floor", directory).taken_s * 1000,
        },
        RUNS,
    )
    warm = Sample(tuple(pull_ms(ref, forget_blobs=False) for _ in range(RUNS)))
    return [
        Row("pull: skopeo, umoci and mke2fs", "ms", cold["others"]),
        Row("pull: banger image pull, a whole process", "ms", cold["banger"]),
        Row("pull: the second over the first", "x", ratio(cold["banger"], cold["others"]), aim=0.10),
        Row("pull: inflate, hash and write alone", "ms", cold["floor"]),
        Row("pull: banger over that", "x", ratio(cold["banger"], cold["floor"]), aim=1.5),
        Row("pull: with all blobs cached", "ms", warm),
        Row("pull: the daemon's peak memory", "MiB", Sample((_peak_mib(),)), aim=150),
    ]


def pull_ms(ref: str, *, forget_blobs: bool) -> float:
    """A pull into a home that has not this image, and with `forget_blobs` none of its layers."""
    pull = partial(banger, "image", "pull", "-q", ref)
    # Also those of an earlier bench, at another port: the same layers are the same disk.
    for image in ask("/v1/images"):
        if image["name"].endswith("/debian:bench"):
            banger("image", "delete", image["name"])
    if forget_blobs:
        ask("/v1/images/cache/prune", "POST")
    return timed_ms(pull)


def _timed_others(ref: str) -> float:
    work = WORK / "others"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()

    policy = str(WORK / "policy.json")

    def whole_way() -> None:
        call(
            "skopeo",
            "--policy",
            policy,
            "copy",
            "-q",
            "--src-tls-verify=false",
            f"docker://{ref}",
            f"oci:{work}/layout:x",
        )
        call("umoci", "unpack", "--image", f"{work}/layout:x", f"{work}/bundle")
        tree = f"{work}/bundle/rootfs"
        call("mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, f"{work}/disk", str(_DISK_BYTES // 1024))

    return timed_ms(whole_way)


def _daemon() -> Path:
    return Path(f"/proc/{ask('/v1/system')['daemon_pid']}")


def _forget_peak() -> None:
    """What the daemon did before (a kernel is unpacked in memory) is not the pulls'. See proc(5), clear_refs."""
    (_daemon() / "clear_refs").write_text("5")


def _peak_mib() -> float:
    status = (_daemon() / "status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def push_image(directory: Path, ref: str) -> None:
    """An image of `bench.importing` as an OCI layout, then into the registry."""
    layout = WORK / "layout"
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True)
    layers = layers_of(directory)
    for layer in layers:
        (blobs / layer.digest.removeprefix("sha256:")).symlink_to(layer.path)
    config = _put(
        blobs,
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/bin/true"]},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        },
        "application/vnd.oci.image.config.v1+json",
    )
    kind = "application/vnd.oci.image.layer.v1.tar+gzip"
    listed = [{"mediaType": kind, "digest": x.digest, "size": x.path.stat().st_size} for x in layers]
    media = "application/vnd.oci.image.manifest.v1+json"
    manifest = _put(
        blobs, {"schemaVersion": 2, "mediaType": media, "config": config, "layers": listed}, media
    )
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    index = {"schemaVersion": 2, "manifests": [{**manifest, "annotations": {_REF_NAME: "x"}}]}
    (layout / "index.json").write_text(json.dumps(index))
    policy = WORK / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    to = ("--dest-tls-verify=false", f"oci:{layout}:x", f"docker://{ref}")
    call("skopeo", "--policy", str(policy), "copy", "-q", *to)


_REF_NAME = "org.opencontainers.image.ref.name"


def _put(blobs: Path, document: dict[str, object], media_type: str) -> dict[str, object]:
    data = json.dumps(document).encode()
    name = hashlib.sha256(data).hexdigest()
    (blobs / name).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(data)}
