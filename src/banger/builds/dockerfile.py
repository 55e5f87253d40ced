"""The images that a Dockerfile names: what banger has to bring into the machine that builds it.

Only FROM, ARG, and the options `--from` and `from=` mean something here. buildah reads the same file in the machine,
and has only the images that were found here. So a file that the two read differently fails, and does no harm. Pure.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from banger.errors import Error

MAX_BYTES = 1 << 20
_MAX_WORD = 4096
_MAX_IMAGES = 64
_MAX_STAGES = 1000
_DIRECTIVE = re.compile(r"#\s*([A-Za-z]{1,32})\s*=\s*(\S{1,1024})\s*")
_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?::([-+])([^${}]*))?\})|\\\$")
_HEREDOC = re.compile(r"(?:^|\s)<<-?([\"']?)[A-Za-z_]\w*\1(?=\s|$)")
# A name in a registry, in a catalog or on this host. Sources that are files of the host are spelt in other ways, or
# begin with these words and a colon.
_IMAGE = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]*(:[0-9]{1,5})?(/[a-z0-9][a-z0-9._-]*)*(:\w[A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?",
    re.ASCII,
)
_NO_NAMES = frozenset(
    "catalog dir disk docker docker-archive docker-daemon machine oci oci-archive rootfs tar".split()
)
_ARCHITECTURES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64"}


@dataclass
class _Stage:
    """`needs` are the numbers of earlier stages, `images` the images that it names itself."""

    name: str
    needs: set[int] = field(default_factory=set)
    images: list[str] = field(default_factory=list)
    arguments: dict[str, str] = field(default_factory=dict)


def decode(data: bytes, name: str) -> str:
    """The text of a Dockerfile. Raises `bad_request`."""
    if len(data) > MAX_BYTES:
        raise Error("bad_request", f"{name} has more than {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise Error("bad_request", f"{name} is not UTF-8 text") from exc
    if "\0" in text:
        raise Error("bad_request", f"{name} has a zero byte")
    return text


def find_images(
    text: str, name: str, arguments: Mapping[str, str], architecture: str, target: str = ""
) -> list[str]:
    """The images that the stage `target` is made of, as they are written in the file `name`, without `scratch` and
    stages; empty: the last stage. `arguments` are those of --build-arg. Raises `bad_request`, `bad_reference`,
    `unsupported`."""
    reader = _Reader(name, arguments, architecture)
    for line, word, rest in _instructions(text, name):
        reader.read(f"{name}, line {line}", word, rest)
    return reader.wanted(target)


def is_name(image: str) -> bool:
    """Whether this is spelt as the name of an image, and not as a file of the host."""
    return (
        len(image) <= _MAX_WORD
        and _IMAGE.fullmatch(image) is not None
        and image.partition(":")[0] not in _NO_NAMES
    )


def _instructions(text: str, name: str) -> Iterator[tuple[int, str, str]]:
    """Number of the first line, word in capitals, and the rest of each instruction, its lines joined."""
    escape, directives = "\\", True
    begun, parts = 0, list[str]()
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.rstrip(" \t\r")
        if directives and (found := _DIRECTIVE.fullmatch(line.lstrip())):
            if found[1].lower() == "escape":
                escape = _escape(found[2], f"{name}, line {number}")
            continue
        directives = False
        if not line or line.lstrip().startswith("#"):
            continue
        begun = begun if parts else number
        parts.append(line.removesuffix(escape))
        if not line.endswith(escape):
            yield begun, *_split("".join(parts))
            parts.clear()
    if parts:
        yield begun, *_split("".join(parts))


def _escape(value: str, where: str) -> str:
    if value not in ("\\", "`"):
        raise Error("bad_request", f"{where}: the escape character is \\ or `, not {value[:20]!r}")
    return value


def _split(instruction: str) -> tuple[str, str]:
    word, *rest = instruction.split(None, 1) or [""]
    return word.upper(), "".join(rest)


class _Reader:
    """Takes the instructions in their order. `_globals` are the arguments before the first stage."""

    def __init__(self, name: str, arguments: Mapping[str, str], architecture: str) -> None:
        self._name = name
        self._given = arguments
        self._platform = f"linux/{architecture}"
        self._globals = {
            f"{whose}{what}": value
            for whose in ("BUILD", "TARGET")
            for what, value in (("PLATFORM", self._platform), ("OS", "linux"), ("ARCH", architecture))
        } | {"BUILDVARIANT": "", "TARGETVARIANT": ""}
        self._stages: list[_Stage] = []

    def read(self, where: str, word: str, rest: str) -> None:
        if word == "FROM":
            self._from(where, rest)
        elif word == "ARG":
            self._arg(where, rest)
        elif word in ("RUN", "COPY", "ADD"):
            if _HEREDOC.search(rest):
                raise Error(
                    "unsupported",
                    f"{where}: {word} with a here-document",
                    "COPY a file of the context, or join the commands with && and \\",
                )
            if self._stages:
                self._options(where, rest)

    def wanted(self, target: str) -> list[str]:
        if not self._stages:
            raise Error("bad_request", f"{self._name} has no FROM", "begin with FROM IMAGE")
        waiting = [self._number(target) if target else len(self._stages) - 1]
        if waiting[0] is None:
            raise Error(
                "bad_request", f"{self._name} has no stage {target!r}", "give a name after FROM ... AS"
            )
        seen: set[int] = set()
        images: dict[str, None] = {}
        while waiting:
            number = waiting.pop()
            if number is None or number in seen:
                continue
            seen.add(number)
            images |= dict.fromkeys(self._stages[number].images)
            waiting += self._stages[number].needs
        if len(images) > _MAX_IMAGES:
            raise Error("bad_request", f"{self._name} names more than {_MAX_IMAGES} images")
        return [*images]

    def _number(self, stage: str) -> int | None:
        """The last stage of this name or number."""
        for number in range(len(self._stages) - 1, -1, -1):
            if self._stages[number].name == stage.lower() or stage == str(number):
                return number
        return None

    def _from(self, where: str, rest: str) -> None:
        words = rest.split()
        while words and words[0].startswith("--"):
            option, _, value = words.pop(0).partition("=")
            if option != "--platform":
                raise Error("bad_request", f"{where}: FROM has no option {option[:40]}")
            self._check_platform(where, self._expand(where, value, self._globals))
        if not (len(words) == 1 or (len(words) == 3 and words[1].upper() == "AS")):
            raise Error("bad_request", f"{where}: FROM is not followed by an image", "FROM IMAGE [AS NAME]")
        if len(self._stages) == _MAX_STAGES:
            raise Error("bad_request", f"{where}: there are more than {_MAX_STAGES} stages")
        image = self._expand(where, words[0], self._globals)
        if not image:
            raise Error(
                "bad_request", f"{where}: {words[0][:80]} is empty", "give it a default, or use --build-arg"
            )
        stage = _Stage(words[2].lower() if len(words) == 3 else "")
        self._add(where, stage, image, of_from=True)
        self._stages.append(stage)

    def _arg(self, where: str, rest: str) -> None:
        scope = self._stages[-1].arguments if self._stages else self._globals
        try:
            words = shlex.split(rest)
        except ValueError as exc:
            raise Error("bad_request", f"{where}: ARG has a quote that does not end") from exc
        for word in words:
            name, equals, default = word.partition("=")
            if name in self._given:
                scope[name] = self._given[name]
            elif equals:
                # An argument that no image name uses may be anything.
                scope[name] = self._expand(where, default, self._scope(), strict=False)
            elif self._stages and name in self._globals:
                scope[name] = self._globals[name]

    def _options(self, where: str, rest: str) -> None:
        """The images of --from=IMAGE and of --mount=...,from=IMAGE."""
        for word in rest.split():
            if not word.startswith("--"):
                return
            option, _, value = word.partition("=")
            sources = [value] if option == "--from" else []
            if option == "--mount":
                sources = [part[5:] for part in value.split(",") if part.startswith("from=")]
            for source in sources:
                if image := self._expand(where, source.strip("\"'"), self._scope()):
                    self._add(where, self._stages[-1], image)

    def _add(self, where: str, stage: _Stage, image: str, of_from: bool = False) -> None:
        number = self._number(image) if not (of_from and image.isdigit()) else None
        if number is not None:
            stage.needs.add(number)
        elif image.isdigit() and not of_from:
            raise Error("bad_request", f"{where}: there is no stage {image[:20]} before this line")
        elif image != "scratch":
            if not is_name(image):
                raise Error(
                    "bad_reference",
                    f"{where}: {image[:200]!r} is not the name of an image",
                    "write it like debian:bookworm or host:5000/app:1.0; for a file, `banger load` it first",
                )
            stage.images.append(image)

    def _scope(self) -> Mapping[str, str]:
        return self._stages[-1].arguments if self._stages else self._globals

    def _expand(self, where: str, word: str, scope: Mapping[str, str], strict: bool = True) -> str:
        """The word with the values of its variables. Where `strict`, a variable that cannot be read is an error."""
        if len(word) <= _MAX_WORD:
            word = _VARIABLE.sub(lambda found: _value(found, scope), word.strip("\"'"))
        if len(word) > _MAX_WORD:
            if strict:
                raise Error("bad_request", f"{where}: a name has more than {_MAX_WORD} characters")
            return ""
        if strict and "$" in word:
            raise Error(
                "unsupported", f"{where}: {word[:200]!r} cannot be expanded", "use $NAME or ${NAME:-VALUE}"
            )
        return word

    def _check_platform(self, where: str, platform: str) -> None:
        system, slash, rest = platform.lower().partition("/")
        architecture = (rest if slash else system).partition("/")[0]
        asked = f"{system if slash else 'linux'}/{_ARCHITECTURES.get(architecture, architecture)}"
        if asked != self._platform:
            raise Error(
                "unsupported",
                f"{where}: the platform {platform[:80]} is not that of this host, {self._platform}",
                "leave out --platform",
            )


def _value(found: re.Match[str], scope: Mapping[str, str]) -> str:
    if found[0] == "\\$":
        return "$"
    value = scope.get(found[1] or found[2], "")
    if found[3] == "-":
        return value or found[4]
    if found[3] == "+":
        return found[4] if value else ""
    return value
