"""Values that do not fit the types of a request, as errors whose details are facts: the field, and the rule that it
breaks. Only this module reads msgspec's messages."""

from __future__ import annotations

import re

import msgspec

from banger.errors import Error

SEE_OPENAPI = "see /openapi.json for the expected values"
_PLACE = " - at `"
_BOUND = re.compile(r"Expected `(\w+)`( of length)? (>=|<=|>|<) (-?[0-9][0-9.e+-]*)")
_BOUNDS = {">=": "at_least", "<=": "at_most", ">": "more_than", "<": "less_than"}
_PATTERN = re.compile(r"Expected `str` matching regex ")


def misfit(exc: msgspec.ValidationError) -> Error:
    """`at` in the details is the place in the body, as a JSON path; `expected` is what msgspec expects there. A value
    of the right type has a `rule`, too: its `kind` (a bound, or "pattern"), the `bound`, and what it `counts`
    ("characters", "items", or "" for the value itself)."""
    message = str(exc)
    expected, _, place = message.partition(_PLACE)
    details: dict[str, object] = {"at": place.rstrip("`") or "$", "expected": expected}
    if rule := _rule(expected):
        details["rule"] = rule
    return Error("bad_spec", message, SEE_OPENAPI, details)


def unknown_field(name: str) -> Error:
    message = f"Object contains unknown field `{name[:64]}`"
    return Error("bad_spec", message, SEE_OPENAPI, {"at": "$", "expected": message})


def _rule(expected: str) -> dict[str, object]:
    if _PATTERN.match(expected):
        return {"kind": "pattern"}
    found = _BOUND.fullmatch(expected)
    if found is None:
        return {}
    of_type, of_length, sign, bound = found.groups()
    counts = ("characters" if of_type == "str" else "items") if of_length else ""
    return {"kind": _BOUNDS[sign], "bound": _number(bound), "counts": counts}


def _number(text: str) -> int | float:
    number = float(text)
    return int(number) if number.is_integer() else number
