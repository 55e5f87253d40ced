"""Named networks: requests and verbs."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from banger.api.verb import Nothing, Request, Verb
from banger.model.labels import Labels
from banger.model.network import HostName, Network

_N = "/v1/networks/{network}"
_M = _N + "/machines/{machine}"


class OneNetwork(Request):
    network: str


class CreateNetwork(Request):
    """A machine that is only on `internal` networks reaches nothing else."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    internal: bool = False
    labels: Labels = field(default_factory=dict)


class PruneNetworks(Request):
    dry_run: bool = False


class ConnectMachine(OneNetwork):
    """`machine` is a name or an id. `aliases` are further names that the machine has on the network; they replace
    its aliases there."""

    machine: str
    aliases: Annotated[list[HostName], Meta(max_length=16)] = field(default_factory=list)


class DisconnectMachine(OneNetwork):
    machine: str


# fmt: off
LIST = Verb(
    name="networks.list", summary="All named networks, with their members", method="GET", path="/v1/networks",
    request=Nothing, result=list[Network],
)
CREATE = Verb(
    name="networks.create", summary="Create a named network", method="POST", path="/v1/networks",
    request=CreateNetwork, result=Network, status=201,
    errors=("bad_name", "name_taken", "network_failed", "network_full"),
    example={"name": "shop", "internal": True},
)
GET = Verb(
    name="networks.get", summary="One named network", method="GET", path=_N, request=OneNetwork, result=Network,
    errors=("network_not_found",), example={"network": "shop"},
)
DELETE = Verb(
    name="networks.delete", summary="Delete a network that has no members", method="DELETE", path=_N,
    request=OneNetwork, result=type(None), errors=("network_not_found", "in_use"), example={"network": "shop"},
)
PRUNE = Verb(
    name="networks.prune", summary="Delete the networks that have no members", method="POST",
    path="/v1/networks/prune", request=PruneNetworks, result=list[Network], query=("dry_run",),
    example={"dry_run": True},
)
CONNECT = Verb(
    name="networks.connect", summary="Put a machine on a network, also while it runs", method="PUT", path=_M,
    request=ConnectMachine, result=Network,
    errors=(
        "network_not_found", "machine_not_found", "bad_state", "network_full", "network_unenforceable",
        "network_failed",
    ),
    example={"network": "shop", "machine": "db", "aliases": ["postgres"]},
)
DISCONNECT = Verb(
    name="networks.disconnect", summary="Take a machine off a network, also while it runs", method="DELETE", path=_M,
    request=DisconnectMachine, result=type(None),
    errors=("network_not_found", "machine_not_found", "bad_state", "network_unenforceable", "network_failed"),
    example={"network": "shop", "machine": "db"},
)
VERBS = (LIST, PRUNE, CREATE, GET, DELETE, CONNECT, DISCONNECT)
