"""One build: base images in, the Dockerfile built, the image out.

The machine gets layers and files, and never a password: banger pulls the base images on this host, as for `pull`.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import secrets
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from banger.builds import scripts
from banger.builds.builder import IMAGE, Size, open_builder
from banger.builds.context import Context, pack_context
from banger.builds.dockerfile import find_images, is_name
from banger.builds.hands import Hands
from banger.client import calls
from banger.client.messages import STDOUT, Exited, Json, Output
from banger.client.trees import Complaints
from banger.errors import Error, NoSuchImage
from banger.model.sizes import GIB, format_size

_MOST_BYTES = 32 * GIB
_TAIL_LINES, _TAIL_BYTES = 20, 8192
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "TMPDIR": "/var/tmp",
}


@dataclass(frozen=True, kw_only=True)
class Wish:
    """`names` are the names for the image; none: a name is made. `arguments` are values of ARG.
    With `pull`, base images are pulled again."""

    context: Context
    names: Sequence[str] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    size: Size = field(default_factory=Size)
    fresh: bool = False
    pull: bool = False


def build(hands: Hands, wish: Wish) -> Json:
    """Build the image, and return its record. Raises `build_failed`, `bad_request`, `bad_reference`, `unsupported`, and
    the errors of pulls and starts."""
    architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
    context = wish.context
    wanted = find_images(context.text, context.name, wish.arguments, architecture, wish.target)
    _check_names(hands, wish.names)
    bases = [(name, _ensure(hands, name, wish.pull)) for name in wanted]
    _ensure(hands, IMAGE, pull=False)
    with open_builder(hands, context.directory, wish.size, wish.fresh) as machine:
        _send(hands, machine, context, [base for _, base in bases])
        pairs = [word for name, base in bases for word in (_key(base), _tag(name, base))]
        pinned = [
            f"--build-context={name}=container-image://{_tag(name, base)}"
            for name, base in bases
            if "@" in name
        ]
        _run(hands, machine, scripts.BUILD, [*pairs, "--", *pinned, *_options(wish)])
        return _fetch(hands, machine, wish.names)


def _check_names(hands: Hands, names: Sequence[str]) -> None:
    """Refuse a name that the image cannot have before the work. Raises `bad_reference`, `name_taken`."""
    offers = hands.call(calls.images_offers()) if names else None
    offered = [one for one in offers if isinstance(one, dict)] if isinstance(offers, list) else []
    taken = {name for one in offered for name in (one.get("name"), *_names(one.get("aliases")))}
    for name in names:
        before, _, after = name.rpartition(":")
        repository = before if before and "/" not in after else name
        if not is_name(name) or "@" in name or repository != repository.lower():
            raise Error("bad_reference", f"{name!r} cannot be the name of an image", "use NAME or NAME:TAG")
        if name in taken:
            raise Error("name_taken", f"{name} is an image of a catalog", "choose another name")


def _names(aliases: object) -> Sequence[object]:
    return aliases if isinstance(aliases, list) else ()


def _ensure(hands: Hands, name: str, pull: bool) -> Json:
    """The record of an image, which is pulled if it is not here."""
    if not pull:
        try:
            return _record(hands.call(calls.images_get(name)))
        except NoSuchImage:
            pass
    hands.say(f"pulling {name}")
    return _record(hands.finish(calls.images_pull(name)).get("result"))


def _key(image: Json) -> str:
    """What tells base images apart in the machine: the disk and the configuration, whatever the names."""
    facts = [image.get(name) for name in ("digest", "manifest_digest", "config")]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _tag(name: str, image: Json) -> str:
    """The name of a base image in the machine. No image there can have a name with a digest: its manifest is new."""
    return f"localhost/banger-base:{_key(image)}" if "@" in name else name


def _send(hands: Hands, machine: str, context: Context, bases: Sequence[Json]) -> None:
    keyed = {_key(base): str(base.get("name", "")) for base in bases}
    missing = _output(hands, machine, scripts.PREPARE, [*keyed]).decode(errors="replace").split()
    for key in [key for key in missing if key in keyed]:
        hands.say(f"sending {keyed[key]}")
        with hands.open(calls.images_save(keyed[key])) as archive:
            hands.call(calls.machines_put_files(machine, f"/build/base/{key}", archive.chunks()))
    hands.say("sending the context")
    complaints = Complaints()
    hands.call(calls.machines_put_files(machine, "/build", pack_context(context, complaints)))
    for sentence in complaints.first:
        hands.warn(sentence)
    if complaints.count > len(complaints.first):
        hands.warn(f"and {complaints.count - len(complaints.first)} more")


def _options(wish: Wish) -> Iterator[str]:
    for name, value in wish.arguments.items():
        yield f"--build-arg={name}={value}"
    if wish.target:
        yield f"--target={wish.target}"


def _run(hands: Hands, machine: str, script: str, words: Sequence[str]) -> None:
    """Run the build, and show what it prints. Raises `build_failed`."""
    tail = deque[bytes]()
    kept = 0
    code = 0
    for event in _events(hands, machine, script, words):
        if isinstance(event, Exited):
            code = event.code
            continue
        hands.show(event.data)
        tail.append(bytes(event.data[-_TAIL_BYTES:]))
        kept += len(tail[-1])
        while kept - len(tail[0]) >= _TAIL_BYTES:
            kept -= len(tail.popleft())
    if code:
        lines = b"".join(tail).decode(errors="replace").splitlines()[-_TAIL_LINES:]
        last = next((line for line in reversed(lines) if line.strip()), f"exit code {code}")
        raise Error(
            "build_failed",
            f"the image was not built: {last}",
            "correct the step that the output names; the steps before it are in the cache",
            {"output": lines, "exit_code": code},
        )


def _output(hands: Hands, machine: str, script: str, words: Sequence[str]) -> bytes:
    """The output of a script of ours. Raises `build_failed`."""
    with tempfile.TemporaryFile() as file:
        _write_output(hands, machine, script, words, file, _TAIL_BYTES)
        file.seek(0)
        return file.read()


def _write_output(
    hands: Hands, machine: str, script: str, words: Sequence[str], file: IO[bytes], limit_bytes: int
) -> None:
    said, size = b"", 0
    for event in _events(hands, machine, script, words):
        if isinstance(event, Exited):
            if event.code:
                lines = said.decode(errors="replace").splitlines()
                raise Error(
                    "build_failed",
                    f"the builder {machine} failed: {lines[-1] if lines else f'exit code {event.code}'}",
                    "build with --no-cache, which makes a new builder",
                    {"output": lines, "exit_code": event.code},
                )
        elif event.channel != STDOUT:
            said = (said + bytes(event.data))[-_TAIL_BYTES:]
        else:
            size += len(event.data)
            if size > limit_bytes:
                raise Error("layer_too_large", f"the builder sends more than {format_size(limit_bytes)}")
            file.write(event.data)


def _events(hands: Hands, machine: str, script: str, words: Sequence[str]) -> Iterator[Output | Exited]:
    command = {"argv": ["/bin/sh", "-c", script, "sh", *words], "env": _ENVIRONMENT}
    with hands.stream(calls.machines_exec_target(machine), {"command": command}) as stream:
        while not stream.finished:
            for event in stream.wait_long():
                if isinstance(event, Output | Exited):
                    yield event


def _fetch(hands: Hands, machine: str, names: Sequence[str]) -> Json:
    """The image as an image of this host, by all its names."""
    hands.say("storing the image")
    with _spool() as file:
        _write_output(hands, machine, scripts.EXPORT, [], file, _MOST_BYTES)
        file.flush()
        name = names[0] if names else f"build-{secrets.token_hex(6)}"
        ended = hands.finish(calls.images_pull(f"oci-archive:{file.name}", name=name))
    image = _record(ended.get("result"))
    for other in names[1:]:
        hands.call(calls.images_tag(str(image.get("name", "")), other))
    return image


@contextmanager
def _spool() -> Iterator[IO[bytes]]:
    """A file with a name that the daemon can read, on a disk and not in memory where there is a choice. Raises
    `insufficient_disk`."""
    directory = "/var/tmp" if os.access("/var/tmp", os.W_OK) else None
    try:
        with tempfile.NamedTemporaryFile(prefix="banger-build-", suffix=".tar", dir=directory) as file:
            yield file
    except OSError as exc:
        raise Error(
            "insufficient_disk", f"cannot write the image: {exc.strerror}", "free space in /var/tmp"
        ) from exc


def _record(answer: object) -> Json:
    return answer if isinstance(answer, dict) else {}
