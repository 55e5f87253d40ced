"""What the driver tells Firecracker, against Firecracker's own description of its API."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from banger.vmm.firecracker import configuration
from banger.vmm.link import Tap
from tests.support.fake_firecracker import FIELDS
from tests.support.openapi_document import VARIABLE, Definitions, find_document, read_tree
from tests.support.vm_configs import vm_config

# Of the file that a VM boots from: its keys, and the definitions of their values.
OF_FILE = {
    "boot-source": "BootSource",
    "machine-config": "MachineConfiguration",
    "drives": "Drive",
    "network-interfaces": "NetworkInterface",
    "vsock": "Vsock",
    "entropy": "EntropyDevice",
}
REQUESTS: list[tuple[str, Mapping[str, Any]]] = [
    ("PartialDrive", configuration.plan_rate(1_000_000, 100)),
    ("PartialDrive", configuration.plan_rate(0, 0)),
    ("PartialDrive", configuration.plan_resized()),
    ("SnapshotCreateParams", configuration.plan_capture("state", "memory")),
    ("SnapshotLoadParams", configuration.plan_restore("state", "memory")),
    ("Vm", {"state": "Paused"}),
    ("Vm", {"state": "Resumed"}),
]


@pytest.fixture(scope="module")
def definitions() -> Definitions:
    document = find_document()
    if document is None:
        pytest.skip(f"capability missing: {VARIABLE} names no copy of Firecracker's OpenAPI document")
    return Definitions(document)


def test_the_file_of_a_vm_is_as_firecracker_describes_it(definitions: Definitions, tmp_path: Path) -> None:
    told = configuration.plan_configuration(vm_config(tmp_path, link=Tap("02:00:00:00:00:01", 9)))
    assert told.keys() == OF_FILE.keys()
    faults = []
    for key, value in told.items():
        for each in value if isinstance(value, list) else [value]:
            faults += definitions.faults(OF_FILE[key], each)
    assert faults == []


@pytest.mark.parametrize(("name", "body"), REQUESTS, ids=[name for name, _ in REQUESTS])
def test_a_request_is_as_firecracker_describes_it(
    definitions: Definitions, name: str, body: Mapping[str, Any]
) -> None:
    assert definitions.faults(name, body) == []


@pytest.mark.parametrize(
    ("request_line", "name"),
    [
        ("PATCH /vm", "Vm"),
        ("PATCH /drives/root", "PartialDrive"),
        ("PUT /snapshot/create", "SnapshotCreateParams"),
        ("PUT /snapshot/load", "SnapshotLoadParams"),
    ],
)
def test_the_stand_in_knows_no_field_that_firecracker_does_not_have(
    definitions: Definitions, request_line: str, name: str
) -> None:
    assert set(FIELDS[request_line]) <= definitions.fields(name)


DOCUMENT = """
definitions:
  Drive:
    type: object
    required:
      - drive_id
      - is_root_device
    properties:
      drive_id:
        type: string
      is_root_device:
        type: boolean
        description:
          Whether it is: a root device
      rate_limiter:
        $ref: "#/definitions/RateLimiter"
  RateLimiter:
    type: object
    properties:
      size:
        type: integer
"""

GOOD = {"drive_id": "a", "is_root_device": True}


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({**GOOD, "rate_limiter": {"size": 1}}, ""),
        ({"drive_id": "a"}, "Drive needs is_root_device"),
        ({"drive_id": 1, "is_root_device": True}, "Drive.drive_id is no string: 1"),
        ({**GOOD, "size": 1}, "Drive has no size"),
        ({**GOOD, "rate_limiter": {"size": True}}, "RateLimiter.size is no integer: True"),
        ({**GOOD, "rate_limiter": {"sizze": 1}}, "RateLimiter has no sizze"),
    ],
)  # fmt: skip
def test_a_fault_is_found(tmp_path: Path, body: Mapping[str, Any], fault: str) -> None:
    (tmp_path / "document.yaml").write_text(DOCUMENT)
    assert Definitions(tmp_path / "document.yaml").faults("Drive", body) == ([fault] if fault else [])
    assert "Drive" in read_tree(DOCUMENT)["definitions"]
