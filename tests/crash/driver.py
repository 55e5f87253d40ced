"""Rounds of steps: some moves begin, something is killed amid them, everything is looked at.

A round is drawn from `Random(f"{seed}/{round}")` alone, begins without machines and ends without anything. What is
drawn depends on what was found, and that on the host's timing: the same seed leads to the same moves for as long as
they end alike.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

from banger.client.sync import Client
from banger.errors import Error
from banger.places import run_directory
from tests.crash.attempts import Attempt
from tests.crash.homes import log_since, log_size
from tests.crash.inspection import Inspection
from tests.crash.kills import copy_store, daemon_of, kill, kill_daemon, kill_starting_daemon, kill_vmm
from tests.crash.model import ABSENT, SETTLED, Model, Violation
from tests.crash.moves import Chooser, Delete, DeleteSnapshot, Fork, Move, Restore, Resume, Start, Stop
from tests.crash.report import Report
from tests.crash.world import World
from tests.support.home import Home, alive, wait_until

_NOTHING = "nothing"
_DAEMON, _VMM, _BOTH, _STARTING = "daemon", "VMM", "VMM, daemon", "daemon, starting daemon"
_OLDER = "daemon, older store"
_KEEPER, _RELAY, _HOLDER = "keeper", "relay", "holder"
_KEEPER_TOO, _RELAY_TOO = "keeper, daemon", "relay, daemon"
_GUARDS = {_KEEPER: _KEEPER, _RELAY: _RELAY, _HOLDER: _HOLDER, _KEEPER_TOO: _KEEPER, _RELAY_TOO: _RELAY}
_KILLS = {_DAEMON: 12, _VMM: 2, _BOTH: 2, _STARTING: 2, _OLDER: 2, _NOTHING: 4}
_KILLS |= {_KEEPER: 2, _RELAY: 2, _HOLDER: 1, _KEEPER_TOO: 1, _RELAY_TOO: 1}
# In seconds, and how often: within a clone, a fork, a refill; within the boot that makes a template.
_DELAYS = {(0.0, 0.06): 4, (0.0, 0.4): 7, (0.4, 1.5): 2, (1.5, 4.5): 1}
_STARTING_S = 0.4
_YOUNG_S = 0.4
_CLASHES = 0.1
_MOST_STOPPED = 2
_MOST_STARTED = 3
_MOST_RESTORED = 2
_LOG_LINES = 60


@contextmanager
def as_user_of(home: Home) -> Iterator[Client]:
    """The SDK as a user of that home has it: it starts daemons by itself."""
    before = dict(os.environ)
    os.environ.update(home.env)
    try:
        yield Client()
    finally:
        os.environ.clear()
        os.environ.update(before)


class Round:
    """From a home without machines to a home without machines."""

    def __init__(self, home: Home, client: Client, report: Report, number: int) -> None:
        self._home = home
        self._client = client
        self._report = report
        self._number = number
        self._random = Random(f"{report.seed}/{number}")
        self._model = Model()
        self._world = World(home.directory, Path(run_directory()))
        self._chooser = Chooser(self._model, self._random, f"r{number}")
        self._inspection = Inspection(client, self._model, self._world)
        self._history: list[str] = []
        self._begun = time.monotonic()
        self._log_start = log_size(home)

    def play(self, kills: int, limit_s: float = math.inf) -> bool:
        """Steps until so much was killed, or so much time went by. True when all was as it must be; otherwise the
        report has the finding."""
        self._report.rounds += 1
        enough = self._report.kill_count + kills
        try:
            self._do(self._chooser.run())
            while self._report.kill_count < enough and time.monotonic() < self._begun + limit_s:
                self._step(self._random.choices([*_KILLS], [*_KILLS.values()])[0])
            self._wind_up()
        except (Violation, AssertionError, Error) as exc:
            self._report.findings.append(self._describe(f"{type(exc).__name__}: {exc}"))
            return False
        except Exception:  # ours, most likely: no reason to lose the report of all other rounds
            self._report.findings.append(self._describe(traceback.format_exc()))
            return False
        finally:
            self._world.network.close()
            self._report.note_times(self._inspection.slowest_list_s, self._inspection.slowest_settling_s)
        return True

    def _step(self, what: str) -> None:
        moves = self._draw()
        clashing = self._add_clash(moves) if self._random.random() < _CLASHES else ""
        low, high = self._random.choices([*_DELAYS], [*_DELAYS.values()])[0]
        delay_s = self._random.uniform(low, high)
        attempts = self._begin(moves)
        struck: list[Attempt] = []
        victim = 0
        older = self._copy_store(delay_s) if what == _OLDER else None
        if what != _NOTHING:
            time.sleep(delay_s)
            struck = [attempt for attempt in attempts if attempt.running]
            self._note_phases(struck)
            victim = self._kill(what, older)
        self._say(f"killed after {delay_s * 1000:.0f} ms: {what}")
        self._settle_accounts(attempts, struck, clashing, forgotten=what == _OLDER)
        if victim:
            self._account_for_victim(victim, moves)
        if what == _OLDER:
            self._go_on_with_older_store(moves)
        else:
            self._inspection.look()

    def _copy_store(self, delay_s: float) -> Path:
        """Some of the time before the kill; what is done until then is not in it."""
        time.sleep(self._random.uniform(0, delay_s))
        return copy_store(self._world)

    def _go_on_with_older_store(self, moves: list[Move]) -> None:
        """Whatever these moves did may be forgotten, or half of it. Nothing else is: it runs on, in the same VMM. What
        the store does not know is found by a reconcile; a machine that comes back from its deletion has lost all."""
        for move in moves:
            for guest in (self._model.guests[name] for name in _touched(move) if name in self._model.guests):
                guest.lose_track(*SETTLED, ABSENT)
                if isinstance(move, Delete):
                    guest.files = frozenset()
        self._client.system.info()
        self._inspection.settle()
        removed = self._client.system.reconcile(remove=True).leftovers
        self._report.reconciled += len(removed)
        self._say(
            f"  reconcile removed {', '.join(f'{left.kind} {left.what}' for left in removed) or 'nothing'}"
        )
        self._inspection.look()
        for move in moves:
            if isinstance(move, Delete) and move.target in self._model.guests:
                self._do(Delete(move.target))

    def _draw(self) -> list[Move]:
        """One move, or up to three, each on a machine of its own; the model is widened for them."""
        moves: list[Move] = []
        busy: set[str] = set()
        for _ in range(self._random.choices((1, 2, 3), (5, 3, 2))[0]):
            move = self._chooser.choose(busy)
            if move is not None:
                move.widen(self._model)
                moves.append(move)
                busy |= _touched(move)
        return moves

    def _add_clash(self, moves: list[Move]) -> str:
        """A second move on the machine of one of `moves`, if that goes together; its name. Whoever comes first there,
        it ends in some settled state."""
        for move in moves:
            other = self._chooser.clash(move)
            if other is not None:
                self._model.guests[move.target].lose_track(*SETTLED)
                moves.append(other)
                return move.target
        return ""

    def _begin(self, moves: list[Move]) -> list[Attempt]:
        self._say("; ".join(map(str, moves)) or "no move")
        self._report.moves.update(move.kind for move in moves)
        return [Attempt(move, self._client) for move in moves]

    def _settle_accounts(
        self, attempts: list[Attempt], struck: list[Attempt], clashing: str, *, forgotten: bool = False
    ) -> None:
        """What was answered is certain, unless another move was at the same machine, or it is forgotten."""
        for attempt in attempts:
            attempt.wait()
            self._say(f"  {attempt.move}: {attempt.outcome}")
        for attempt in attempts:
            is_clash = bool(clashing) and attempt.move.target == clashing
            attempt.check_error(disturbed=is_clash or attempt in struck)
            if attempt.done and not is_clash and not forgotten:
                attempt.move.narrow(self._model)

    def _note_phases(self, struck: list[Attempt]) -> None:
        phases = {attempt.move.kind for attempt in struck}
        for process in self._world.vmms():
            owner, is_numbered, _ = process.marker.partition("-")
            if is_numbered and (owner == "template" or process.age_s < _YOUNG_S):
                phases.add({"pool": "pool refill", "template": "template making"}.get(owner, owner))
        self._report.phases.update(phases or {"no move"})

    def _kill(self, what: str, older: Path | None) -> int:
        """The pid of the VMM that was killed, if one was."""
        victim = 0
        if what in (_VMM, _BOTH):
            vmms = sorted(self._world.vmms(), key=lambda process: process.pid)
            if vmms:
                process = self._random.choice(vmms)
                self._say(f"  the VMM is {process}")
                kill_vmm(process)
                self._report.kills["VMM"] += 1
                victim = process.pid
        if what in _GUARDS:
            self._kill_guard(_GUARDS[what])
        if what not in (_VMM, _KEEPER, _RELAY, _HOLDER):
            self._kill_daemon(older)
        if what == _STARTING:
            self._kill_next_daemon()
        return victim

    def _kill_guard(self, name: str) -> None:
        """It may be away: no machine needed it yet, or it was killed before."""
        guard = self._world.network.guards().get(name)
        if guard is not None:
            self._say(f"  the {name} was {guard.pid}")
            kill(guard)
            self._report.kills[name] += 1

    def _kill_daemon(self, older: Path | None) -> None:
        daemon = kill_daemon(self._world, older)
        if daemon is None:
            raise Violation("the daemon had gone by itself")
        self._say(f"  the daemon was {daemon.pid}")
        self._report.kills[_OLDER if older else _DAEMON] += 1

    def _kill_next_daemon(self) -> None:
        delay_s = self._random.uniform(0, _STARTING_S)
        starter = threading.Thread(target=self._start_daemon, daemon=True)
        starter.start()
        if kill_starting_daemon(self._world, delay_s):
            self._report.kills["starting daemon"] += 1
            self._report.phases["daemon's start"] += 1
        starter.join()

    def _start_daemon(self) -> None:
        with suppress(Error):  # it is being killed
            self._client.system.info()

    def _account_for_victim(self, pid: int, moves: list[Move]) -> None:
        """Its machine stops. One that we do not know was of a move, of the pool, or of a template."""
        touched = set().union(*map(_touched, moves))
        for guest in self._model.guests.values():
            if guest.name in touched and not guest.is_surely(ABSENT):
                guest.lose_track("stopped", "failed")
            elif guest.pid == pid:
                guest.become("stopped")

    def _wind_up(self) -> None:
        """Machines that do not run keep their files too, and so do snapshots; at last nothing is left of anything."""
        running = [guest for guest in self._model.surely("running") if guest.files]
        for guest in self._random.sample(running, min(_MOST_STOPPED, len(running))):
            self._do(Stop(guest.name))
        idle = [guest for guest in self._model.guests.values() if not guest.is_surely("running")]
        for guest in self._random.sample(idle, min(_MOST_STARTED, len(idle))):
            self._do(Resume(guest.name) if guest.is_surely("paused") else Start(guest.name))
        snapshots = self._model.sure_snapshots()
        for kept in self._random.sample(snapshots, min(_MOST_RESTORED, len(snapshots))):
            self._do(Restore(kept.machine, kept.tag))
        rest: list[Move] = [Delete(name) for name in self._model.guests]
        rest += [DeleteSnapshot(kept.machine, kept.tag) for kept in self._model.sure_snapshots()]
        for move in rest:
            move.widen(self._model)
            self._settle_accounts(self._begin([move]), [], "")
        self._delete_images()
        self._world.forget_checks()
        self._inspection.look()
        self._end_daemon()

    def _do(self, move: Move) -> None:
        """A move that nobody disturbs."""
        move.widen(self._model)
        self._settle_accounts(self._begin([move]), [], "")
        self._inspection.look()

    def _delete_images(self) -> None:
        for image in [*self._model.images]:
            self._client.images.delete(image)
            del self._model.images[image]

    def _end_daemon(self) -> None:
        """Politely; the next round begins with none."""
        daemon = daemon_of(self._world.run)
        assert daemon is not None
        os.kill(daemon.pid, signal.SIGTERM)
        wait_until(lambda: not alive(daemon.pid), 20, "the daemon ends")
        with suppress(ChildProcessError):
            os.waitpid(daemon.pid, os.WNOHANG)
        if remains := self._world.remains():
            raise Violation(f"left behind: {'; '.join(remains)}")
        said = log_since(self._home, self._log_start)
        for trouble in ("Traceback", "never retrieved", "never awaited"):
            if trouble in said:
                raise Violation(f"the daemon's log speaks of a {trouble}")

    def _say(self, line: str) -> None:
        at_s = time.monotonic() - self._begun
        self._history.append(f"{at_s:7.2f} s  {line}")

    def _describe(self, what: str) -> str:
        log = log_since(self._home, self._log_start).splitlines()
        return "\n".join(
            [
                f"--- seed {self._report.seed}, round {self._number}: {what}",
                f"    make crash SEED={self._report.seed} ROUND={self._number}",
                *(f"    {line}" for line in self._history),
                f"    what the model knows: {self._model}",
                f"    processes: {[str(process) for process in self._world.processes()]}",
                *(f"    log: {line}" for line in log[-_LOG_LINES:]),
            ]
        )


def _touched(move: Move) -> set[str]:
    """The machines that a move is at, also those that it makes."""
    return {move.target, *(move.children if isinstance(move, Fork) else ())}
