"""Whether an accelerator works is found out once, for one boot of the host, one build and one kernel."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from banger.errors import Error
from banger.host import cpu
from banger.host.paths import Paths
from banger.store.store import Store
from banger.templates.trials import _REMEMBERED, TRIAL_S, Trial, Trials, read_trials
from banger.vmm.base import Driver, DriverInfo, VmConfig
from tests.support.paths import paths_below
from tests.support.vm_configs import vm_config


class Broken:
    """A driver whose machines never begin."""

    name = "broken"

    def __init__(self, build: str = "1.0", code: str = "vmm_failed") -> None:
        self.build, self.code = build, code
        self.tried = 0

    async def info(self) -> DriverInfo:
        return DriverInfo(self.name, "1.0", self.build, "", ("kvm", "tcg"), "")

    async def prepare(self, config: VmConfig) -> None:
        self.tried += 1
        await asyncio.sleep(0)
        raise Error(self.code, f"{config.accel} is broken")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return paths_below(tmp_path)


@pytest.fixture
def store(paths: Paths) -> Iterator[Store]:
    paths.state.mkdir(mode=0o700)
    found = Store(paths.database)
    yield found
    found.close()


def why_not(trials: Trials, driver: Any, kernel: str = "k", accel: str = "kvm") -> str:
    return asyncio.run(trials.why_not(cast(Driver, driver), vm_config(accel=accel), kernel))


def test_an_accelerator_that_fails_is_tried_once_and_never_again(paths: Paths, store: Store) -> None:
    driver = Broken()
    trials = Trials(paths, store.resources)
    assert why_not(trials, driver) == why_not(trials, driver) == "kvm is broken"
    next_daemon = Trials(paths, store.resources)
    assert why_not(next_daemon, driver) == "kvm is broken"
    assert driver.tried == 1
    assert read_trials(paths.state) == {Trial("kvm", "broken", "1.0", "k"): "kvm is broken"}


def test_many_that_start_at_a_time_wait_for_one_trial(paths: Paths, store: Store) -> None:
    driver = Broken()

    async def scenario() -> set[str]:
        trials = Trials(paths, store.resources)
        return set(
            await asyncio.gather(
                *(trials.why_not(cast(Driver, driver), vm_config(accel="kvm"), "k") for _ in range(9))
            )
        )

    assert asyncio.run(scenario()) == {"kvm is broken"}
    assert driver.tried == 1


def test_another_build_or_kernel_is_tried_anew(paths: Paths, store: Store) -> None:
    trials, old, new = Trials(paths, store.resources), Broken(), Broken("1.1")
    why_not(trials, old)
    why_not(trials, new)
    why_not(trials, old, "another kernel")
    assert (old.tried, new.tried) == (2, 1)


def test_after_a_boot_of_the_host_all_is_tried_anew(
    paths: Paths, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Broken()
    why_not(Trials(paths, store.resources), driver)
    monkeypatch.setattr(cpu, "boot_id", lambda: "another")
    assert read_trials(paths.state) == {}
    why_not(Trials(paths, store.resources), driver)
    assert driver.tried == 2


def test_what_has_nothing_to_do_with_the_accelerator_is_an_error_and_no_finding(
    paths: Paths, store: Store
) -> None:
    with pytest.raises(Error) as caught:
        why_not(Trials(paths, store.resources), Broken(code="insufficient_disk"))
    assert caught.value.code == "insufficient_disk"
    assert read_trials(paths.state) == {}


def test_a_trial_leaves_nothing_behind(paths: Paths, store: Store) -> None:
    why_not(Trials(paths, store.resources), Broken())
    assert store.resources.all() == []
    assert list(paths.machines.iterdir()) == [] and list(paths.sockets.iterdir()) == []


def test_emulation_is_not_tried(paths: Paths, store: Store) -> None:
    driver = Broken()
    assert why_not(Trials(paths, store.resources), driver, accel="tcg") == ""
    assert driver.tried == 0


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"boot": 1}', b"\xff", b'{"boot": "x", "found": {"kvm q": ""}}']
)
def test_a_damaged_record_is_none(paths: Paths, store: Store, data: bytes) -> None:
    (paths.state / "accelerators.json").write_bytes(data)
    assert read_trials(paths.state) == {}


def test_so_many_findings_are_kept_and_the_latest_of_them(paths: Paths, store: Store) -> None:
    """In memory, in the file, and by a daemon that finds more in the file than it keeps."""
    driver, trials = Broken(), Trials(paths, store.resources)
    for number in range(_REMEMBERED + 10):
        why_not(trials, driver, f"kernel {number}")
    kept = read_trials(paths.state)
    assert len(kept) == len(trials._found) == _REMEMBERED
    assert [trial.kernel for trial in kept] == [f"kernel {number}" for number in range(10, _REMEMBERED + 10)]
    record = msgspec.json.decode((paths.state / "accelerators.json").read_bytes())
    others = [(("kvm", "other", "1.0", str(number)), "no") for number in range(10_000)]
    record["found"] = [*others, *record["found"]]
    (paths.state / "accelerators.json").write_bytes(msgspec.json.encode(record))
    next_daemon = Trials(paths, store.resources)
    why_not(next_daemon, driver, f"kernel {_REMEMBERED + 9}")
    assert driver.tried == _REMEMBERED + 10 and len(next_daemon._found) == _REMEMBERED


def test_a_machine_that_does_not_come_up_costs_a_limited_time(
    paths: Paths, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []

    async def boot(
        resources: Any, taps: Any, owner: str, config: VmConfig, driver: Driver, limit_s: float
    ) -> None:
        given.append(limit_s)
        assert (config.cpus, config.memory_mib, config.frozen) == (1, 512, None)
        raise Error("boot_timeout", "the agent did not answer")

    class Slow(Broken):
        async def prepare(self, config: VmConfig) -> None:
            """It begins, and does not come up."""

    large = dataclasses.replace(vm_config(accel="kvm"), cpus=64, memory_mib=1 << 20)
    monkeypatch.setattr("banger.templates.trials.boot", boot)
    found = asyncio.run(Trials(paths, store.resources).why_not(cast(Driver, Slow()), large, "k"))
    assert (found, given) == ("the agent did not answer", [TRIAL_S])
    assert store.resources.all() == []
