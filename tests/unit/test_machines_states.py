"""The life of a machine is the table, and nothing else."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest

from banger.errors import Error
from banger.machines.keep.states import EDGES, LIVE, Verb, advance
from banger.model.machine import Machine, MachineSpec, MachineState


def machine(state: MachineState) -> Machine:
    return Machine(id="0", name="dev", state=state, spec=MachineSpec(image="x"), created="")


@pytest.mark.parametrize(
    ("state", "verb"),
    list(itertools.product(MachineState, get_args(Verb))),
    ids=lambda v: str(getattr(v, "value", v)),
)
def test_an_edge_leads_where_the_table_says_and_no_other_exists(state: MachineState, verb: Verb) -> None:
    if (state, verb) in EDGES:
        assert advance(machine(state), verb) is EDGES[state, verb]
        return
    with pytest.raises(Error) as caught:
        advance(machine(state), verb)
    assert caught.value.code == "bad_state"
    assert state.value in caught.value.message
    assert verb in caught.value.message


def test_every_state_can_be_left_and_reached() -> None:
    reachable = {MachineState.CREATED, *EDGES.values()}
    assert reachable == set(MachineState)
    assert {state for state, _ in EDGES} == set(MachineState)


def test_every_live_state_can_end() -> None:
    for state in LIVE:
        assert (state, "exited") in EDGES
