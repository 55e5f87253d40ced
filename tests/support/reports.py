"""Progress: kept for a test to look at, or not looked at."""

from __future__ import annotations

from banger.model.operation import report_to_nobody

silent = report_to_nobody


class Reports:
    """A report. `told` has phase and message of all that was reported."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def __call__(
        self,
        phase: str,
        message: str = "",
        done: int = 0,
        total: int = 0,
        unit: str = "",
        layers: object = (),
    ) -> None:
        self.told.append((phase, message))

    @property
    def warnings(self) -> list[str]:
        return [message for phase, message in self.told if phase == "warning"]
