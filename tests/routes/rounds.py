"""Rounds of requests, until the time is over: in each round every verb gets some that fit its schema and some that do
not, through the socket and through the door."""

from __future__ import annotations

import http.client
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from banger.server.openapi import describe_api
from tests.routes.heads import knock
from tests.routes.place import Place
from tests.routes.sending import Way, prepare, send
from tests.routes.tame import LEFT_OUT, NEVER_THERE, bend, bends
from tests.routes.verdict import code_of, faults

_MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
_FINDINGS_MAX = 20


@dataclass
class Report:
    """`answers` counts answers by verb and status, `findings` has each kind of fault once."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    findings: dict[str, str] = field(default_factory=dict)

    def note(self, operation: str, fault: str, request: str) -> None:
        """A fault with the request that shows it."""
        kind = f"{operation}: {' '.join(fault.split())[:100]}"
        if len(self.findings) < _FINDINGS_MAX:
            self.findings.setdefault(kind, f"{operation}: {fault.strip()[:3000]}\n  {request[:2000]}")

    def reached(self) -> set[str]:
        """Verbs that carried out a request."""
        return {operation for operation, status in self.answers if status < 300}

    def __str__(self) -> str:
        total = sum(self.answers.values())
        by_status: Counter[int] = Counter()
        for (_, status), count in self.answers.items():
            by_status[status] += count
        lines = [f"{total} requests; {len(self.reached())} verbs carried out"]
        lines += [", ".join(f"{status}: {count}" for status, count in sorted(by_status.items()))]
        return "\n".join([*lines, *self.findings.values(), f"{len(self.findings)} findings"])


class Rounds:
    """`number` makes the same requests again, as far as the daemon answers the same."""

    def __init__(self, place: Place, number: int, report: Report) -> None:
        self._place = place
        self._number = number
        self._report = report
        self._bends = bends(place.scratch)
        self._ways = (Way("socket", place.client.socket_path), Way("door", place.url, place.token))
        schema = schemathesis.openapi.from_dict(describe_api(), config=schemathesis.Config())
        found = (one.ok() for one in schema.get_all_operations() if isinstance(one, Ok))
        self._operations = {str(one.definition.raw["operationId"]): one for one in found}
        assert LEFT_OUT.keys() <= self._operations.keys()

    def play(self, end: float, each: int) -> None:
        """One round, of at most `each` requests a verb, kind and way. `end` is a time of `time.monotonic`."""
        self._number += 1
        for at, (name, operation) in enumerate(self._operations.items()):
            if name in LEFT_OUT:
                continue
            for mode in _MODES:
                if time.monotonic() > end:
                    return
                self._try_verb(name, operation, mode, end, each)
            if at % 10 == 0:
                self._place.put_right()
        for fault in knock(self._ways[1], self._number, each * 10, end):
            self._report.note("door", fault, "")
        self._place.put_right()

    def _try_verb(self, name: str, operation: Any, mode: GenerationMode, end: float, each: int) -> None:
        @seed(self._number)
        @settings(
            max_examples=2 * each,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode), choices=st.data())
        def try_one(case: schemathesis.Case[Any], choices: st.DataObject) -> None:
            if time.monotonic() < end:
                self._try(name, case, choices, mode)

        try:
            try_one()
        except Unsatisfiable:
            return  # nothing can be wrong with a request without parameters

    def _try(
        self, name: str, case: schemathesis.Case[Any], choices: st.DataObject, mode: GenerationMode
    ) -> None:
        is_good = mode is GenerationMode.POSITIVE
        case.body = bend(case.body, self._bends)
        found: list[Any] = [case.path_parameters, case.query, case.body]
        for values in (one for one in found if isinstance(one, dict)):
            for one in list(values):
                known = self._place.known(name, one)
                if known and choices.draw(st.integers(0, 9)) < (9 if is_good else 5):
                    values[one] = choices.draw(st.sampled_from(known))
        if name in NEVER_THERE and "name" in case.query:
            case.query["name"] = f"not-there/{case.query['name']}"
        way = choices.draw(st.sampled_from(self._ways))
        made = prepare(case, way)
        if made is None:
            return
        shown = f"{way.name}: {made.method} {made.path_url} {dict(made.headers)} {made.body!r}"
        try:
            answer = send(made, way)
        except (ValueError, http.client.InvalidURL):
            return  # no client would send it
        except (OSError, http.client.HTTPException) as exc:
            self._report.note(name, f"no answer: {type(exc).__name__}: {exc}", shown)
            return
        self._report.answers[name, answer.status_code] += 1
        for fault in faults(case, answer, way, str(self._place.home.directory)):
            self._report.note(name, f"{fault} {code_of(answer)} {answer.content[:500]!r}", shown)
