"""The doctor and a home that is hurt: store, configuration, directories, daemon, leftovers. And what --fix does."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from banger import __version__
from banger.catalogs.minisign import SecretKey, sign
from banger.catalogs.subscription import Record
from banger.doctor.checks import CHECKS
from banger.host.spawn import MARKER
from banger.model.machine import Machine, MachineSpec, MachineState
from banger.store.migrations import STEPS
from banger.store.store import Store
from tests.support.home import alive, wait_until
from tests.support.pace import allowed_s
from tests.support.patient import NOBODY, Patient, open_patient

pytestmark = pytest.mark.integration


@pytest.fixture
def patient() -> Iterator[Patient]:
    with open_patient() as opened:
        yield opened


@pytest.fixture
def store(patient: Patient) -> Path:
    """A store as a daemon leaves it, with a machine that asks for things that are gone."""
    path = patient.state / "banger.db"
    opened = Store(path)
    spec = MachineSpec(image="rootfs:/not/there", kernel="hand-made")
    opened.machines.add(
        Machine(
            id="0123456789ab",
            name="old",
            state=MachineState.STOPPED,
            spec=spec,
            created="2026-01-01T00:00:00Z",
        )
    )
    opened.close()
    return path


def test_the_doctor_makes_no_directory_and_starts_no_daemon(patient: Patient) -> None:
    done = patient.doctor("--json")
    assert not patient.directory.exists()
    findings = {finding["check"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert list(findings) == [check.name for check in CHECKS]
    assert findings["daemon"]["status"] == "hint" and "no daemon runs" in findings["daemon"]["found"]
    assert findings["image"]["status"] == findings["kernel"]["status"] == "ok", (
        "what a run pulls is all right"
    )
    most_ms = allowed_s(6) * 1000
    assert all(finding["took_ms"] < most_ms for finding in findings.values())


def test_a_line_a_check_with_what_why_and_how(patient: Patient) -> None:
    patient.write_config("[limits]\nmemory_reserve = 1\n")
    done = patient.doctor("-v")
    lines = done.stdout.splitlines()
    assert len(lines) == len(CHECKS) + 1
    (line,) = [line for line in lines if line.split()[1] == "config"]
    assert line.startswith("problem  config") and "; the daemon does not start; mend: # edit " in line
    assert "problem" in lines[-1] and done.returncode == 2


def test_a_sick_daemon_and_a_sick_archive_hide_nothing(patient: Patient) -> None:
    (patient.directory / "run").mkdir(parents=True)
    with (
        silent_socket(patient.directory / "run/banger.sock"),
        socket.create_server(("127.0.0.1", 0)) as archive,
    ):
        patient.env["BANGER_DEBIAN_MIRROR"] = f"http://127.0.0.1:{archive.getsockname()[1]}/debian"
        begun = time.monotonic()
        done = patient.doctor("--json")
        took_s = time.monotonic() - begun
    findings = {finding["check"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert len(findings) == len(CHECKS)
    assert findings["daemon"]["status"] == "problem" and "did not answer" in findings["daemon"]["found"]
    assert findings["archive"]["status"] == "warning"
    assert findings["store"]["status"] == "ok"
    assert took_s < allowed_s(12), "ten seconds, and the start of the interpreter"
    assert done.returncode == 2


def test_a_file_system_that_never_answers_hides_nothing(patient: Patient) -> None:
    """Whoever opens a pipe that nobody writes to waits, as on a file server that is gone."""
    (patient.directory / "config").mkdir(parents=True)
    os.mkfifo(patient.directory / "config/config.toml")
    done = patient.doctor("--json", "--check", "config", "--check", "trial", "--check", "daemon")
    findings = {finding["check"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert "no answer within" in findings["config"]["found"]
    assert len(findings) == 3 and findings["daemon"]["status"] == "problem" and done.returncode == 2


def test_an_unknown_key_of_the_configuration_is_named(patient: Patient) -> None:
    patient.write_config("[limits]\nmemory_reserved = '1GiB'\n")
    finding = patient.look("config")
    assert finding["status"] == "problem" and "memory_reserved" in finding["found"]
    (patient.directory / "config/config.toml").write_text("")
    (patient.directory / "config/registries.toml").write_text("[mirror]\n")
    finding = patient.look("config")
    assert finding["status"] == "warning" and "'mirror' is not a setting" in finding["found"]


def test_flipped_bytes_in_the_store_are_found(patient: Patient, store: Path) -> None:
    assert patient.look("store")["status"] == "ok"
    data = bytearray(store.read_bytes())
    data[4096 + 1 : 4096 + 900] = bytes(byte ^ 0xFF for byte in data[4096 + 1 : 4096 + 900])
    store.write_bytes(data)
    finding = patient.look("store")
    assert finding["status"] == "problem" and "is damaged" in finding["found"]
    assert "cp -p" in finding["mend"]
    assert store.read_bytes() == bytes(data), "it was only read"


@pytest.mark.parametrize("damage", [b"", b"no database at all\n" * 500])
def test_a_store_that_is_none_is_found_or_as_good_as_new(
    patient: Patient, store: Path, damage: bytes
) -> None:
    store.write_bytes(damage)
    assert patient.look("store")["status"] == ("problem" if damage else "ok")


def test_a_store_of_a_newer_banger_is_named(patient: Patient, store: Path) -> None:
    with sqlite3.connect(store) as connection:
        connection.execute(f"PRAGMA user_version={len(STEPS) + 1}")
    connection.close()
    finding = patient.look("store")
    assert finding["status"] == "problem" and f"version {len(STEPS) + 1}" in finding["found"]


def test_a_look_at_the_store_leaves_nothing_beside_it(patient: Patient, store: Path) -> None:
    before = sorted(store.parent.iterdir())
    for check in ("store", "image", "leftovers"):
        patient.look(check)
    assert sorted(store.parent.iterdir()) == before


def test_a_full_disk_is_a_problem(patient: Patient) -> None:
    home = patient.directory
    home.mkdir()
    small = f"mount -t tmpfs -o size=300M none {home}; mkdir {home}/state {home}/cache"
    finding = patient.look("disk-room", hurt=f"{small}; head -c 290M /dev/zero >{home}/state/much")
    assert finding["status"] == "problem" and "less than the reserve of 256MiB" in finding["found"]
    finding = patient.look("disk-room", hurt=small)
    assert finding["status"] == "warning" and "too little for a new image" in finding["found"]
    finding = patient.look("disk-room", hurt=f"mount -t tmpfs -o size=3G,nr_inodes=100 none {home}")
    assert finding["status"] == "warning" and "inodes left" in finding["found"]


def test_a_home_that_cannot_be_written_to_is_a_problem(patient: Patient) -> None:
    (patient.directory / "state").mkdir(parents=True)
    read_only = (
        f"mount --bind {patient.directory} {patient.directory}; mount -o remount,bind,ro {patient.directory}"
    )
    finding = patient.look("file-system", hurt=read_only)
    assert finding["status"] == "problem" and "Read-only file system" in finding["found"]


def test_templates_on_another_file_system_cannot_be_linked(patient: Patient) -> None:
    for name in ("machines", "templates"):
        (patient.state / name).mkdir(parents=True)
    assert patient.look("file-system")["status"] == "ok"
    finding = patient.look("file-system", hurt=f"mount -t tmpfs none {patient.state}/templates")
    assert (
        finding["status"] == "warning" and "no hard links between machines and templates" in finding["found"]
    )
    assert list(patient.state.rglob(".doctor-*")) == []


def test_a_store_from_the_future_means_a_wrong_clock(patient: Patient, store: Path) -> None:
    assert patient.look("clock")["status"] == "ok"
    os.utime(store, (time.time() + 3600, time.time() + 3600))
    finding = patient.look("clock")
    assert finding["status"] == "warning" and "in the future" in finding["found"]


def test_directories_of_somebody_else_are_a_problem(patient: Patient) -> None:
    if os.geteuid() != 0:
        pytest.skip("capability missing: CAP_CHOWN")
    patient.state.mkdir(parents=True)
    os.chown(patient.state, NOBODY, NOBODY)
    finding = patient.look("directories")
    assert finding["status"] == "problem" and str(patient.state) in finding["found"]


def test_a_run_directory_that_all_can_replace_is_a_problem(patient: Patient) -> None:
    patient.directory.mkdir()
    patient.directory.chmod(0o777)
    finding = patient.look("directories")
    assert finding["status"] == "problem" and "all users" in finding["found"]


def test_fix_makes_private_directories_and_starts_the_daemon(patient: Patient) -> None:
    patient.state.mkdir(parents=True)
    patient.state.chmod(0o755)
    assert "open to other users" in patient.look("directories")["found"]
    done = patient.doctor("--fix", "--json", "--check", "directories", "--check", "daemon")
    answer = json.loads(done.stdout)
    try:
        assert [finding["status"] for finding in answer["findings"]] == ["ok", "ok"], answer
        assert answer["done"][0].startswith("made private") and answer["done"][1].startswith("daemon started")
        for name in ("run", "state", "cache"):
            assert (patient.directory / name).stat().st_mode & 0o777 == 0o700
        assert patient.look("daemon")["status"] == "ok"
    finally:
        pid = int((patient.directory / "run/daemon.pid").read_text())
        os.kill(pid, 15)
        wait_until(lambda: not alive(pid), 20, "the daemon ends")


def test_a_path_that_is_too_long_for_a_socket_is_a_problem(patient: Patient) -> None:
    finding = patient.look("sockets", env={"BANGER_SOCKET": "/tmp/" + "x" * 120})
    assert finding["status"] == "problem" and "125 bytes" in finding["found"]


def test_what_a_killed_daemon_left_is_seen_and_removed(patient: Patient) -> None:
    run = patient.directory / "run"
    run.mkdir(parents=True, mode=0o700)
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(run / "banger.sock"))
    ended = subprocess.Popen(["true"])
    ended.wait()
    (run / "daemon.pid").write_text(f"{ended.pid}\n")
    finding = patient.look("remains")
    assert (
        finding["status"] == "hint" and "banger.sock" in finding["found"] and "daemon.pid" in finding["found"]
    )
    done = patient.doctor("--fix", "--check", "remains")
    assert done.returncode == 0 and "done     removed" in done.stderr and done.stdout == ""
    assert not (run / "banger.sock").exists() and not (run / "daemon.pid").exists()


def test_a_daemon_of_another_version_is_named(patient: Patient) -> None:
    with stand_in(patient, {"version": "0.0.9", "daemon_pid": os.getpid(), "places": {}}):
        finding = patient.look("daemon")
    assert finding["status"] == "warning"
    assert finding["found"] == f"the daemon is version 0.0.9, this command is version {__version__}"
    assert finding["mend"] == "banger system restart"


def test_something_else_on_the_socket_is_a_problem(patient: Patient) -> None:
    with stand_in(patient, None):
        finding = patient.look("daemon")
    assert finding["status"] == "problem" and "does not work" in finding["found"]


def test_an_image_and_a_kernel_that_can_nowhere_be_had_are_named(patient: Patient, store: Path) -> None:
    image, kernel = patient.look("image"), patient.look("kernel")
    assert image["status"] == kernel["status"] == "warning"
    assert "rootfs:/not/there" in image["found"] and "debian-bookworm" not in image["found"]
    assert "hand-made" in kernel["found"] and "debian-cloud" not in kernel["found"]


@pytest.fixture
def catalog(patient: Patient) -> Path:
    """One that was added once, and is not there to be asked any more."""
    key = SecretKey(os.urandom(8), os.urandom(32))
    created, expires = (
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + s)) for s in (-60, 86400)
    )
    index = json.dumps(
        {"format": 1, "name": "lab", "version": 1, "created": created, "expires": expires, "images": []}
    ).encode()
    url, signature = "http://127.0.0.1:9/index.json", sign(key, index, "by a test")
    record = Record(url=url, key=str(key.public), position=1, version=1, index=index, signature=signature)
    file = patient.state / "catalogs/lab.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(msgspec.json.encode(record))
    return file


def test_a_catalog_that_cannot_be_reached_is_a_hint_and_a_damaged_one_a_warning(
    patient: Patient, catalog: Path
) -> None:
    finding = patient.look("catalogs")
    assert finding["status"] == "hint" and "http://127.0.0.1:9/index.json" in finding["found"], finding
    record = msgspec.json.decode(catalog.read_bytes(), type=Record)
    record.index = record.index.replace(b"images", b"imagez")
    catalog.write_bytes(msgspec.json.encode(record))
    finding = patient.look("catalogs")
    assert finding["status"] == "warning" and finding["found"].startswith("lab: ")
    assert finding["mend"] == "banger catalog refresh lab"
    catalog.write_bytes(b"{")
    assert patient.look("catalogs")["status"] == "warning"


def test_an_image_of_a_catalog_that_is_gone_is_named(patient: Patient) -> None:
    opened = Store(patient.state / "banger.db")
    spec = MachineSpec(image="catalog:gone/app")
    machine = Machine(id="0123456789ab", name="old", state=MachineState.STOPPED, spec=spec, created="")
    opened.machines.add(machine)
    opened.close()
    assert "catalog:gone/app" in patient.look("image")["found"]


def test_a_stray_directory_and_a_stray_process_are_leftovers(patient: Patient, store: Path) -> None:
    assert patient.look("leftovers")["status"] == "ok"
    (patient.state / "machines/feedfeedfeed").mkdir(parents=True)
    stray = subprocess.Popen(["sleep", "60"], cwd=patient.state, env={**os.environ, MARKER: "lost"})
    try:
        finding = patient.look("leftovers")
        assert finding["status"] == "warning" and finding["mend"] == "banger system reconcile --remove"
        assert f"process {stray.pid} (lost)" in finding["found"] and "feedfeedfeed" in finding["found"]
        patient.doctor("--fix", "--check", "leftovers")
        assert (patient.state / "machines/feedfeedfeed").exists() and stray.poll() is None, (
            "that is for its user"
        )
    finally:
        stray.kill()
        stray.wait()


def test_what_a_record_leads_to_is_no_leftover(patient: Patient, store: Path) -> None:
    (patient.state / "machines/0123456789ab").mkdir(parents=True)
    opened = Store(store)
    opened.resources.note("0123456789ab", "files", {"path": str(patient.state / "machines/0123456789ab")})
    opened.close()
    assert patient.look("leftovers")["status"] == "ok"


def test_a_running_daemon_is_asked_for_leftovers(patient: Patient) -> None:
    leftover = {"kind": "record", "what": "only the daemon knows", "removed": False, "problem": ""}
    facts = {"version": __version__, "daemon_pid": os.getpid(), "places": {}}
    with stand_in(patient, facts, {"machines": [], "leftovers": [leftover], "dry_run": True}):
        assert "only the daemon knows" in patient.look("leftovers")["found"]


def test_fix_has_a_daemon_set_its_records_right(patient: Patient) -> None:
    facts = {"version": __version__, "daemon_pid": os.getpid(), "places": {}}
    wrong = [{"name": "dev", "was": "running", "now": "stopped", "reason": ""}]
    with stand_in(patient, facts, {"machines": wrong, "leftovers": [], "dry_run": True}) as asked:
        done = patient.doctor("--fix", "--check", "leftovers")
    assert "done     corrected the records: banger system reconcile" in done.stderr
    assert [line for line in asked if line.startswith("POST")] == [
        "POST /v1/system/reconcile?dry_run=true HTTP/1.1",
        "POST /v1/system/reconcile HTTP/1.1",
        "POST /v1/system/reconcile?dry_run=true HTTP/1.1",
    ]


def test_the_script_is_one_that_a_shell_reads(patient: Patient) -> None:
    (patient.state / "machines/feedfeedfeed").mkdir(parents=True)
    patient.write_config("[nonsense]\n")
    done = patient.doctor("--fix", "--check", "config", "--check", "leftovers")
    assert done.stdout.startswith("#!/bin/sh\n") and "\nbanger system reconcile --remove\n" in done.stdout
    assert "\n# edit " in done.stdout
    checked = subprocess.run(["sh", "-n"], input=done.stdout, text=True, capture_output=True)
    assert checked.returncode == 0, checked.stderr


def test_strict_makes_warnings_count(patient: Patient) -> None:
    (patient.state / "machines/feedfeedfeed").mkdir(parents=True)
    assert patient.doctor("--check", "leftovers").returncode == 0
    assert patient.doctor("--strict", "--check", "leftovers").returncode == 1
    assert patient.doctor("--strict", "--check", "store").returncode == 0
    assert patient.doctor("--check", "no-such-check").returncode == 2


@contextmanager
def silent_socket(path: Path) -> Iterator[None]:
    """It accepts, and says nothing."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(4)
        yield


@contextmanager
def stand_in(patient: Patient, facts: Any, reconciled: Any = None) -> Iterator[list[str]]:
    """A daemon that knows two answers; without facts, something that is none. Gives what it was asked."""
    path = patient.directory / "run/banger.sock"
    path.parent.mkdir(parents=True, mode=0o700)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(4)
    asked: list[str] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                asked.append(connection.recv(65536).decode().partition("\r\n")[0])
                body = msgspec.json.encode(reconciled if asked[-1].startswith("POST") else facts)
                head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
                connection.sendall(head + body if facts else b"220 mail.example ESMTP\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield asked
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
