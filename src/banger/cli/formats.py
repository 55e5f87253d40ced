"""--format and --filter of listings, as Docker has them."""

from __future__ import annotations

from banger.cli.output import json_text, print_table, printable
from banger.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from banger.client.messages import Json

_TABLE = "table"


def print_formatted(records: Iterable[Json], format_: str) -> None:
    """Print records: as one JSON line each ("json"), by a template, or as a table of the fields of a template."""
    from banger.cli.go_template import parse_template, plain, render

    if format_ == "json":
        for record in records:
            print(json_text(plain(record)))
        return
    is_table = format_.startswith(f"{_TABLE} ")
    nodes = parse_template(format_.removeprefix(f"{_TABLE} "))
    lines = [render(nodes, record) for record in records]
    if is_table:
        headings = [_heading(node) for node in nodes if not isinstance(node, str)]
        rows = [line.split("\t") for line in lines]
        columns = max(len(headings) if "\t" in format_ or len(headings) == 1 else 1, 1)
        names = headings if columns == len(headings) else [" ".join(headings)]
        print_table(names, [(row + [""] * columns)[:columns] for row in rows])
        return
    for line in lines:
        print("\n".join("\t".join(map(printable, part.split("\t"))) for part in line.split("\n")))


def _heading(node: object) -> str:
    """ "{{.Names}}" → "names"."""
    assert isinstance(node, tuple)
    return " ".join(token.rpartition(".")[2] for token in node[1] if token.startswith(".")) or "value"


def select(
    records: list[Json], filters: Iterable[str], tests: dict[str, Callable[[Json, str], bool]]
) -> list[Json]:
    """The records that fit: at least one value of each name, as in Docker; all values of "label"."""
    wanted: dict[str, list[str]] = {}
    for text in filters:
        name, equals, value = text.partition("=")
        if not equals or name not in tests:
            raise Error(
                "bad_request",
                f"--filter {text!r} is not known",
                f"write NAME=VALUE; names: {', '.join(tests)}",
            )
        wanted.setdefault(name, []).append(value)
    return [
        record
        for record in records
        if all(
            (all if name == "label" else any)(tests[name](record, value) for value in values)
            for name, values in wanted.items()
        )
    ]
