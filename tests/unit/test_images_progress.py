"""What is told of a pull: each layer, not too often, and to all that wait for the same image."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from banger.cli.progress import Step, _Bar
from banger.images.fetch import tally as tally_module
from banger.images.fetch.tally import LAYERS_SHOWN, Tally
from banger.images.records.turns import Turns
from banger.model.encoding import encode_json
from banger.model.operation import LayerProgress, Layers, Progress


class Heard:
    """A report that keeps what it is told."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int, int]] = []
        self.layers: list[Layers] = []

    def __call__(
        self,
        phase: str,
        message: str = "",
        done: int = 0,
        total: int = 0,
        unit: str = "",
        layers: Layers = (),
    ) -> None:
        self.steps.append((phase, done, total))
        self.layers.append(layers)


def digest(number: int) -> str:
    return f"sha256:{number:x}".ljust(71, "0")


def test_each_layer_is_told_with_its_state() -> None:
    heard = Heard()

    async def download() -> None:
        tally = Tally(asyncio.get_running_loop(), heard, 30, {digest(1): 10, digest(2): 20})
        add = tally.begin(digest(1))
        await asyncio.to_thread(add, 4)
        assert tally.layers == (
            LayerProgress(digest="100000000000", state="loading", done=4, total=10),
            LayerProgress(digest="200000000000", total=20),
        )
        add(-4)  # they turned out to be useless
        add(99)
        assert tally.layers[0].done == 10 and tally.layers[0].state == "loading"
        tally.finish(digest(1))
        tally.begin(digest(2))(20)
        tally.finish(digest(2))
        await asyncio.sleep(0)

    asyncio.run(download())
    assert [layer.state for layer in heard.layers[-1]] == ["done", "done"]
    assert heard.steps[-1] == ("download", 30, 30)


def test_many_layers_and_many_bytes_make_few_and_small_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, now = Heard(), [100.0]
    monkeypatch.setattr(tally_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    sizes = {digest(number): 1000 for number in range(1, 501) if number % 16}

    async def download() -> None:
        tally = Tally(asyncio.get_running_loop(), heard, 1000 * len(sizes), sizes)
        for layer in sizes:
            add = tally.begin(layer)
            for _ in range(100):
                add(10)
                now[0] += 0.0001  # five seconds in all
            tally.finish(layer)
            await asyncio.sleep(0)

    asyncio.run(download())
    assert 5 <= len(heard.steps) <= 20
    assert len(heard.layers[-1]) == LAYERS_SHOWN
    step = Progress(seq=1, phase="download", layers=heard.layers[-1])
    assert len(encode_json(step)) < 16 * 1024


def test_who_waits_for_a_pull_hears_of_it_and_keeps_its_own_warnings() -> None:
    turns, first, second, other = Turns(), Heard(), Heard(), Heard()

    async def pull(name: str, report: Heard, go_on: asyncio.Event) -> None:
        async with turns.take(name, report) as tell:
            await go_on.wait()
            tell("warning", "old")
            tell("download", "", 1, 2, "bytes")

    async def main() -> None:
        go_on, never = asyncio.Event(), asyncio.Event()
        running = [asyncio.create_task(pull("a", report, go_on)) for report in (first, second)]
        gone = asyncio.create_task(pull("a", other, never))
        await asyncio.sleep(0)
        gone.cancel()  # a client that waits leaves
        await asyncio.wait([gone])
        go_on.set()
        await asyncio.gather(*running)

    asyncio.run(main())
    assert first.steps == [("warning", 0, 0), ("download", 1, 2)]
    assert second.steps == [("download", 1, 2), ("warning", 0, 0), ("download", 1, 2)]
    assert other.steps == []
    assert len(turns) == 0


@pytest.mark.parametrize("layers", [None, 5, {}, [None, 1, {}], [{"state": "loading", "digest": 1}]])
def test_layers_that_are_none_are_not_shown(layers: object) -> None:
    assert Step("download", "", 0, 0, "", layers).layers == []


def test_a_terminal_shows_a_bar_for_each_layer_that_is_loading() -> None:
    def layers(*states: str) -> list[dict[str, object]]:
        return [
            {"digest": f"{n}" * 12, "state": state, "done": 5, "total": 10} for n, state in enumerate(states)
        ]

    bar = _Bar()
    try:
        bar.draw(Step("download", "", 10, 30, "bytes", layers("done", "loading", "waiting", "loading")))
        assert [task.description for task in bar._bars.tasks] == [
            "download",
            "  111111111111",
            "  333333333333",
        ]
        bar._drawn = 0
        bar.draw(Step("download", "", 10, 30, "bytes", layers(*["loading"] * 127)))
        assert len(bar._bars.tasks) == 9
        bar._drawn = 0
        bar.draw(Step("root disk", "", 1, 30, "bytes"))
        assert [task.description for task in bar._bars.tasks] == ["root disk"]
    finally:
        bar.close()
