"""The part of Go's templates that --format is used with: fields, `range`, `if`, `with`, and Docker's functions.

{{.Name}}  {{.State.Pid}}  {{json .}}  {{range .Ports}}{{.}} {{end}}  {{index .Labels "a"}}  {{.Name | upper}}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from banger.errors import Error
from banger.model.shown import json_text

_ACTION = re.compile(r"\{\{(- )?\s*(.*?)\s*( -)?\}\}", re.DOTALL)
_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|`[^`]*`|\(|\)|\||-?\d+(?:\.\d+)?|\$?(?:\.\w+)+|\.|\$|\w+)')
_BLOCKS = ("range", "if", "with")
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}
_LENGTH_MAX = 16 * 1024

Node = str | tuple[str, "list[str]", "list[Node]", "list[Node]"]


def parse_template(text: str) -> list[Node]:
    """The nodes of a template. Raises `bad_request`."""
    if len(text) > _LENGTH_MAX:
        raise _bad("it is too long")
    pieces = _pieces(text.replace("\\t", "\t").replace("\\n", "\n"))
    nodes, closing = _read_nodes(pieces)
    if closing:
        raise _bad(f"{{{{{closing[0]}}}}} without a beginning")
    return nodes


def render(nodes: list[Node], value: object) -> str:
    """What the template says of a value. Raises `bad_request` for a field that the value does not have."""
    return "".join(_render(nodes, value, value))


def _pieces(text: str) -> Iterator[str | list[str]]:
    """Text as strings, and the tokens of actions as lists."""
    at, trims = 0, False
    for found in _ACTION.finditer(text):
        before = text[at : found.start()]
        before = before.lstrip() if trims else before
        yield before.rstrip() if found[1] else before
        yield _tokens(found[2])
        at, trims = found.end(), bool(found[3])
    rest = text[at:]
    if "{{" in rest:
        raise _bad("an action is not closed with }}")
    yield rest.lstrip() if trims else rest


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise _bad(f"{text[at:].strip()!r} cannot be read")
        tokens.append(found[1])
        at = found.end()
    if not tokens:
        raise _bad("an action is empty")
    return tokens


def _read_nodes(pieces: Iterator[str | list[str]]) -> tuple[list[Node], list[str]]:
    """The nodes up to an `end` or `else`, and the tokens of that."""
    nodes: list[Node] = []
    for piece in pieces:
        if isinstance(piece, str):
            nodes.append(piece)
        elif piece[0] in ("end", "else"):
            return nodes, piece
        elif piece[0] in _BLOCKS:
            nodes.append(_read_block(piece, pieces))
        else:
            nodes.append(("", piece, [], []))
    return nodes, []


def _read_block(piece: list[str], pieces: Iterator[str | list[str]]) -> Node:
    inside, closing = _read_nodes(pieces)
    otherwise: list[Node] = []
    if closing[:1] == ["else"] and closing[1:2] == ["if"]:
        otherwise = [_read_block(closing[1:], pieces)]
    else:
        if closing[:1] == ["else"]:
            otherwise, closing = _read_nodes(pieces)
        if closing[:1] != ["end"]:
            raise _bad(f"{{{{{piece[0]}}}}} without {{{{end}}}}")
    return piece[0], piece[1:], inside, otherwise


def _render(nodes: list[Node], value: object, root: object) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, str):
            yield node
            continue
        kind, tokens, inside, otherwise = node
        found = _pipeline(tokens, value, root)
        if not kind:
            yield shown(found)
        elif kind == "range" and found:
            for item in (
                found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
            ):
                yield from _render(inside, item, root)
        elif found:
            yield from _render(inside, found if kind == "with" else value, root)
        else:
            yield from _render(otherwise, value, root)


def _pipeline(tokens: list[str], value: object, root: object) -> object:
    """The value of commands that are separated by `|`, each the last argument of the next."""
    commands: list[list[str]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token == "(") - (token == ")")
        if token == "|" and not depth:
            commands.append([])
        else:
            commands[-1].append(token)
    result: list[object] = []
    for command in commands:
        result = [_command(command, value, root, result)]
    return result[0]


def _command(tokens: list[str], value: object, root: object, last: list[object]) -> object:
    if not tokens:
        raise _bad("a command is empty")
    if tokens[0] in _FUNCTIONS:
        return _call(tokens[0], [*_operands(tokens[1:], value, root), *last])
    first, *arguments = _operands(tokens, value, root)
    if callable(first):
        return first(*arguments, *last)
    if arguments or last:
        raise _bad(f"{tokens[0]!r} is not a function; known are {', '.join(_FUNCTIONS)}")
    return first


def _operands(tokens: list[str], value: object, root: object) -> list[object]:
    operands: list[object] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if token == "(":
            end = _closing(tokens, at)
            operands.append(_pipeline(tokens[at + 1 : end], value, root))
            at = end
        else:
            operands.append(_operand(token, value, root))
        at += 1
    return operands


def _closing(tokens: list[str], at: int) -> int:
    depth = 0
    for place in range(at, len(tokens)):
        depth += (tokens[place] == "(") - (tokens[place] == ")")
        if not depth:
            return place
    raise _bad("a parenthesis is not closed")


def _operand(token: str, value: object, root: object) -> object:
    if token[0] == '"':
        return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), token[1:-1])
    if token[0] == "`":
        return token[1:-1]
    if token[0] in ".$":
        found = root if token[0] == "$" else value
        for name in token.lstrip("$").split("."):
            found = _field(found, name) if name else found
        return found
    if token in ("true", "false"):
        return token == "true"
    if token == "nil":
        return None
    if token.lstrip("-")[:1].isdigit():
        return float(token) if "." in token else int(token)
    raise _bad(f"there is no function {token!r}; known are {', '.join(_FUNCTIONS)}")


def _field(value: object, name: str) -> object:
    if isinstance(value, dict):
        if name in value:
            found: object = value[name]
            return found
        raise _bad(f"there is no field .{name}; known are {', '.join('.' + str(key) for key in value)}")
    if value is None:
        return None
    raise _bad(f"there is no field .{name} in {shown(value)!r}")


def shown(value: object) -> str:
    """A value as Go prints it."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{shown(item)}" for key, item in sorted(value.items())) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(map(shown, value)) + "]"
    return str(value)


def _call(name: str, arguments: list[object]) -> object:
    try:
        return _FUNCTIONS[name](*arguments)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as exc:
        raise _bad(f"{name} cannot take {', '.join(map(shown, arguments)) or 'nothing'}") from exc


def _index(value: object, *keys: object) -> object:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list | tuple) and isinstance(key, int):
            value = value[key]
        else:
            raise TypeError
    return value


def _join(items: object, between: object = "") -> str:
    if not isinstance(items, list | tuple):
        raise TypeError
    return str(between).join(map(shown, items))


def _length(value: object) -> int:
    if isinstance(value, str | list | tuple | dict):
        return len(value)
    raise TypeError


def _json(value: object) -> str:
    return json_text(plain(value))


def plain(value: object) -> object:
    """Without methods."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if not callable(item)}
    return value


def _print(*values: object) -> str:
    return " ".join(map(shown, values))


_FUNCTIONS: dict[str, Callable[..., object]] = {
    "json": _json,
    "join": _join,
    "split": lambda text, between: str(text).split(str(between)),
    "upper": lambda text: str(text).upper(),
    "lower": lambda text: str(text).lower(),
    "title": lambda text: str(text)[:1].upper() + str(text)[1:],
    "truncate": lambda text, length: str(text)[: int(length)],
    "len": _length,
    "index": _index,
    "print": _print,
    "println": lambda *values: _print(*values) + "\n",
    "eq": lambda first, *others: first in others,
    "ne": lambda first, second: first != second,
    "not": lambda value: not value,
    "and": lambda *values: next((value for value in values if not value), values[-1]),
    "or": lambda *values: next((value for value in values if value), values[-1]),
}


def _bad(why: str) -> Error:
    return Error("bad_request", f"--format: {why}", 'write it like "{{.Name}}", "table {{.Name}}" or "json"')
