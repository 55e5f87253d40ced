"""Any OCI image becomes a machine: real images, a real registry, real boots."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.home import Home, open_home, wait_until
from tests.support.oracle import differences, seen_in_directory
from tests.support.registry import PASSWORD, USER, call, make_tls, open_registry_server, require_tools
from tests.support.shelf import Shelf

pytestmark = [pytest.mark.e2e]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    directory = tmp_path_factory.mktemp("shelf")
    with open_registry_server(directory / "registry") as server:
        shelf = Shelf(directory, server.host)
        try:
            shelf.push_all()
            yield shelf
        finally:
            shelf.close()


@pytest.fixture(scope="module")
def pulled(shelf: Shelf, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home whose cache of blobs and disks is its own."""
    with open_home(own_images=True) as home:
        yield home


def test_one_static_program_on_scratch(pulled: Home, shelf: Shelf) -> None:
    ref = shelf.ref("static")
    assert pulled.text("run", "--rm", ref).strip() == subprocess_version()
    (image,) = [i for i in pulled.json("image", "list") if i["name"] == ref]
    assert image["config"]["entrypoint"] == ["/program"]
    assert image["manifest_digest"].startswith("sha256:")
    assert image["layers"] == 1


def test_user_working_directory_entrypoint_and_environment(pulled: Home, shelf: Shelf) -> None:
    identity, *rest = pulled.text("run", "--rm", shelf.ref("worker")).splitlines()
    assert identity.startswith("uid=1234(worker) gid=1235(workers)") and "77(extra)" in identity
    assert rest == ["/srv/work", "hello"]
    given = pulled.text("run", "--rm", "-e", "WORD=other", shelf.ref("worker"), "--", "echo $WORD")
    assert given == "other\n"
    own = pulled.text(
        "run", "--rm", "--entrypoint", "/echo", "-u", "root", shelf.ref("worker"), "--", "a", "b"
    )
    assert own == "a b\n"


def test_other_commands_have_what_the_main_command_has(pulled: Home, shelf: Shelf, name: str) -> None:
    script = "id -un; pwd; echo $WORD $OWN"

    def seen(machine: str, *words: str) -> list[str]:
        return pulled.text("exec", *words, machine, "--", "sh", "-c", script).splitlines()

    words = ("-e", "OWN=mine", shelf.ref("worker"), "--", "while :; do sleep 0.1; done")
    pulled.text("run", "-d", "--name", name, *words)
    assert seen(name) == ["worker", "/srv/work", "hello mine"]
    assert seen(name, "-u", "root", "-w", "/etc", "-e", "WORD=other") == ["root", "/etc", "other mine"]
    assert "mine" not in pulled.text("vm", "show", name)
    number = pulled.text("exec", "-d", name, "--", "sh", "-c", script).strip()
    wait_until(lambda: "hello mine" in pulled.text("logs", "--exec", number, name), 20, "it has run")
    pulled.text("fork", name)
    pulled.text("vm", "snapshot", name, "kept")
    pulled.text("rm", "-f", name)
    pulled.text("restore", name, "kept")
    for machine in (name, f"{name}-1"):
        assert seen(machine) == ["worker", "/srv/work", "hello mine"]
    pulled.text("rm", "-f", name, f"{name}-1")
    pulled.text("snapshot", "delete", name, "kept")


def test_the_stop_signal_is_the_images(pulled: Home, shelf: Shelf, name: str) -> None:
    script = "trap 'echo usr1; exit 3' USR1; echo up; while :; do sleep 0.1; done"
    pulled.text("run", "-d", "--name", name, shelf.ref("worker"), "--", script)
    wait_until(lambda: pulled.text("logs", "--exec", name) == "up\n", 20, "it is up")
    pulled.text("stop", name)
    assert pulled.json("vm", "show", name)["exit"]["code"] == 3
    assert {"up", "usr1"} <= set(pulled.text("logs", "--exec", name).splitlines())
    pulled.text("rm", name)


def test_layers_with_deletions_and_replacements(pulled: Home, shelf: Shelf) -> None:
    ref = shelf.ref("debian")
    assert pulled.text("run", "--rm", ref).splitlines() == ["fresh", "replaced"]
    script = (
        "ls /usr/share/doc; test ! -e /usr/share/man && echo gone; readlink /opt; stat -c %u:%g /etc/issue.too; "
        "stat -c %h /etc/issue.too; ls -1 /etc | grep -c -e 'new' -e quo; getcap /usr/local/bin/capable || "
        "od -An -tx1 /dev/null; stat -c %a /usr/bin/passwd; dpkg -l | wc -l"
    )
    lines = pulled.text("run", "--rm", ref, "--", "bash", "-c", script).splitlines()
    assert lines[:5] == ["file", "gone", "usr/share", "4321:8765", "1"]
    assert "4755" in lines


def test_systemd_of_a_pulled_image_runs(pulled: Home, shelf: Shelf) -> None:
    words = ("run", "--rm", "--init", "image", "--memory", "768MiB", shelf.ref("systemd"))
    output = pulled.text(*words, "--", "sh", "-c", "cat /proc/1/comm; systemctl is-system-running")
    assert output.split() == ["systemd", "running"]


def test_a_second_pull_does_nothing_and_a_force_gives_the_same_bytes(pulled: Home, shelf: Shelf) -> None:
    ref = shelf.ref("static")
    pulled.text("image", "pull", ref)
    (before,) = [i for i in pulled.json("image", "list") if i["name"] == ref]
    disk = pulled.directory / "cache/images" / f"{before['digest']}.ext4"
    content, changed = disk.read_bytes(), disk.stat().st_mtime_ns
    pulled.text("image", "pull", ref)
    assert disk.stat().st_mtime_ns == changed
    pulled.text("image", "pull", "--force", ref)
    assert disk.read_bytes() == content
    subprocess.run(["/usr/sbin/e2fsck", "-fn", disk], check=True, capture_output=True)


def test_a_tag_that_moved_is_pulled_anew(pulled: Home, shelf: Shelf, tmp_path: Path) -> None:
    for word in ("one", "two"):
        image = shelf.builder.image("moving", [{"word": word.encode()}])
        shelf.builder.push(image, f"docker://{shelf.registry}/moving:latest")
        pulled.text("image", "pull", f"{shelf.registry}/moving")
    (image_record,) = [i for i in pulled.json("image", "list") if "moving" in i["name"]]
    pulled.text("image", "export", image_record["name"], str(tmp_path / "disk"))
    shown = subprocess.run(["debugfs", "-R", "cat /word", tmp_path / "disk"], capture_output=True, check=True)
    assert shown.stdout == b"two"


@pytest.mark.parametrize("transport", ["oci", "oci-archive", "docker-archive"])
def test_layouts_and_archives_give_the_same_disk(
    pulled: Home, shelf: Shelf, tmp_path: Path, transport: str
) -> None:
    ref = shelf.ref("static")
    place = f"{transport}:{tmp_path}/place"
    shelf.builder.copy(
        f"docker://{ref}", place + (":x" if transport == "oci" else ""), "--src-tls-verify=false"
    )
    pulled.text("image", "pull", "--name", f"from-{transport}", place)
    pulled.text("image", "pull", ref)
    digests = {i["name"]: i["digest"] for i in pulled.json("image", "list")}
    assert digests[f"from-{transport}:latest"] == digests[ref]


def test_a_tree_on_stdin_and_a_tar_file(pulled: Home, shelf: Shelf, tmp_path: Path) -> None:
    tree = shelf.directory / "worker"
    tar = subprocess.run(["tar", "-C", tree, "-c", "."], capture_output=True, check=True).stdout
    (tmp_path / "tree.tar").write_bytes(tar)
    pulled.text("image", "pull", "--name", "piped", "-", stdin=tar)
    pulled.text("image", "pull", f"tar:{tmp_path}/tree.tar")
    digests = {i["name"]: i["digest"] for i in pulled.json("image", "list")}
    assert digests["piped:latest"] == digests["tree:latest"]
    assert pulled.text("run", "--rm", "piped", "--", "/echo", "ran") == "ran\n"


def test_a_ready_disk_is_registered_and_exported(pulled: Home, shelf: Shelf, tmp_path: Path) -> None:
    pulled.text("image", "pull", shelf.ref("static"))
    pulled.text("image", "export", shelf.ref("static"), str(tmp_path / "disk"))
    assert (tmp_path / "disk").stat().st_blocks * 512 < (tmp_path / "disk").stat().st_size
    pulled.text("image", "register", "--rootfs", str(tmp_path / "disk"), "--name", "ready")
    assert pulled.text("run", "--rm", "ready", "--", "/program", "--version").strip() == subprocess_version()
    (tmp_path / "junk").write_bytes(b"x" * 2_000_000)
    done = pulled.run("image", "register", "--rootfs", str(tmp_path / "junk"), "--name", "junk")
    assert done.returncode == 125 and b"not an ext4 disk" in done.stderr


def test_tag_delete_and_prune(pulled: Home, shelf: Shelf) -> None:
    pulled.text("image", "pull", shelf.ref("static"))
    pulled.text("image", "tag", shelf.ref("static"), "mine")
    assert pulled.text("run", "--rm", "mine").strip() == subprocess_version()
    pulled.text("image", "delete", "mine")
    assert "mine" not in pulled.text("image", "list", "-q")
    assert pulled.run("run", "--rm", shelf.ref("static")).returncode == 0
    for content in (b"first", b"second"):  # the first one's disk is nobody's then
        pulled.text("image", "pull", "--name", "passing", "-", stdin=pack([("file", content, {})]))
    usage = {room["kind"]: room for room in pulled.json("system", "df")["rooms"]}
    would = pulled.json("image", "prune", "--dry-run")
    assert would["count"] >= 1
    assert would["freed_bytes"] == usage["images"]["reclaimable_bytes"]
    pulled.text("image", "prune")
    assert pulled.json("image", "prune")["count"] == 0


def test_the_cache_is_emptied_and_disks_do_not_mind(pulled: Home, shelf: Shelf) -> None:
    pulled.text("image", "pull", shelf.ref("static"))
    would = pulled.text("image", "cache", "prune", "--dry-run")
    assert would.startswith("would free ") and "blob(s) in " in would and would.count("\n") == 1
    assert pulled.text("image", "cache", "prune").startswith("freed ")
    assert pulled.text("image", "cache", "prune").startswith("freed 0B across 0 blob(s)")
    assert pulled.text("run", "--rm", shelf.ref("static")).strip() == subprocess_version()


def test_a_disk_of_a_given_size(pulled: Home, shelf: Shelf) -> None:
    pulled.text("image", "pull", "--size", "1GiB", "--name", "large", shelf.ref("static"))
    (image,) = [i for i in pulled.json("image", "list") if i["name"] == "large:latest"]
    assert image["size_bytes"] == 1 << 30
    done = pulled.run("image", "pull", "--size", "1MiB", "--name", "small", shelf.ref("static"))
    assert done.returncode == 2 and b"least" in done.stderr
    assert "small" not in pulled.text("image", "list", "-q")


@pytest.mark.parametrize(
    ("ref", "code", "exit_code"),
    [
        ("{registry}/nothing:1", "image_not_found", 125),
        ("{registry}/static:none", "image_not_found", 125),
        ("127.0.0.1:9/static:1", "download_failed", 125),
        ("debian:no tag", "bad_reference", 2),
        ("oci:/no/such/place", "file_not_found", 1),
    ],
)
def test_what_cannot_be_pulled_is_named(
    pulled: Home, shelf: Shelf, ref: str, code: str, exit_code: int
) -> None:
    done = pulled.run("image", "pull", "--json", ref.format(registry=shelf.registry), timeout_s=60)
    error = json.loads(done.stderr.decode().splitlines()[-1])["error"]
    assert (error["code"], done.returncode) == (code, exit_code)
    assert error["hint"]


def test_a_platform_that_is_not_there_is_told_with_those_that_are(pulled: Home, shelf: Shelf) -> None:
    done = pulled.run("image", "pull", "--platform", "linux/s390x", shelf.ref("static"))
    assert done.returncode == 125
    assert b"linux/amd64" in done.stderr


def test_an_image_in_use_names_the_machine(pulled: Home, shelf: Shelf, name: str) -> None:
    pulled.text("vm", "create", "--name", name, shelf.ref("static"))
    done = pulled.run("image", "delete", shelf.ref("static"))
    assert done.returncode == 125 and name.encode() in done.stderr
    pulled.text("rm", name)


def test_passwords_certificates_and_their_absence(
    pulled: Home, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = make_tls(tmp_path / "tls")
    with open_registry_server(tmp_path / "registry", tls=tls, htpasswd=True) as server:
        auth = ("--dest-tls-verify=false", f"--dest-creds={USER}:{PASSWORD}", "--src-tls-verify=false")
        shelf.builder.copy(f"docker://{shelf.ref('static')}", f"docker://{server.host}/secret:1", *auth)
        ref = f"{server.host}/secret:1"
        assert pulled.run("image", "pull", ref).returncode == 125  # nobody vouches for the certificate
        certificates = pulled.directory / "config/certs.d" / server.host
        certificates.mkdir(parents=True)
        (certificates / "ca.crt").write_bytes(tls.ca.read_bytes())
        denied = pulled.run("image", "pull", ref)
        assert denied.returncode == 125 and b"banger image login" in denied.stderr
        login = ("image", "login", "-u", USER, "--password-stdin", server.host)
        wrong = pulled.run(*login, stdin=b"wrong\n")
        assert wrong.returncode == 125 and b"wrong" not in wrong.stderr
        pulled.text(*login, stdin=PASSWORD.encode() + b"\n")
        pulled.text("image", "pull", ref)
        assert PASSWORD not in pulled.daemon_log()
        pulled.text("image", "logout", server.host)
        assert pulled.run("image", "pull", ref).returncode == 125


def subprocess_version() -> str:
    from banger.agent.binary import agent_binary
    from banger.host import cpu

    binary = agent_binary(cpu.architecture())
    return subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("image", ["debian", "worker", "static"])
def test_the_disk_as_the_kernel_reads_it_is_what_umoci_unpacks(
    pulled: Home, shelf: Shelf, tmp_path: Path, image: str
) -> None:
    require_tools("umoci")
    shelf.builder.copy(f"docker://{shelf.ref(image)}", f"oci:{tmp_path}/layout:x", "--src-tls-verify=false")
    call("umoci", "unpack", "--image", f"{tmp_path}/layout:x", f"{tmp_path}/bundle")
    pulled.text("image", "pull", shelf.ref(image))
    pulled.text("image", "export", shelf.ref(image), f"{tmp_path}/disk")
    (tmp_path / "mount").mkdir()
    call("mount", "-o", "ro,loop,noload", f"{tmp_path}/disk", f"{tmp_path}/mount")
    try:
        ours = seen_in_directory(tmp_path / "mount", leave_out=frozenset({b"lost+found"}))
        theirs = seen_in_directory(tmp_path / "bundle/rootfs")
        # What has no entry of its own in a layer is nobody's: umoci makes it at the time of unpacking.
        assert differences(ours, theirs, ignore={b"": frozenset({"mode", "mtime_ns"})}) == []
    finally:
        call("umount", f"{tmp_path}/mount")


HOSTILE: dict[str, tuple[list[tuple[str, bytes, dict[str, object]]], str]] = {
    "a name above the root": ([("../../escape", b"x", {})], "layer_refused"),
    "a link above the root": (
        [("up", b"", {"type": tarfile.LNKTYPE, "linkname": "../../etc/shadow"})],
        "layer_refused",
    ),
    "an entry below a file": ([("file", b"x", {}), ("file/below", b"x", {})], "layer_refused"),
    "a link to nothing": ([("l", b"", {"type": tarfile.LNKTYPE, "linkname": "nothing"})], "layer_refused"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_layer_is_refused_by_name_and_nothing_is_published(
    pulled: Home, tmp_path: Path, what: str
) -> None:
    entries, code = HOSTILE[what]
    fail_to_pull(pulled, tmp_path, pack(entries), code)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "junk"])
def test_a_damaged_tar_is_an_error_and_nothing_else(pulled: Home, tmp_path: Path, damage: str) -> None:
    whole = gzip.compress(pack([("file", os.urandom(200_000), {}), ("other", b"x" * 5000, {})]), mtime=0)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0x55
    data = {"cut": whole[: len(whole) // 2], "flipped": bytes(flipped), "empty": b"", "junk": b"junk" * 5000}
    fail_to_pull(pulled, tmp_path, data[damage], None)


def test_a_layer_that_inflates_without_end_hits_the_limit(pulled: Home, tmp_path: Path) -> None:
    configuration = pulled.directory / "config/config.toml"
    configuration.parent.mkdir(exist_ok=True)
    configuration.write_text('[images]\nmax_inflated = "16MiB"\nmax_entries = 50\n')
    try:
        bomb = gzip.compress(pack([("zeros", bytes(64 << 20), {})]), mtime=0)
        fail_to_pull(pulled, tmp_path, bomb, "layer_too_large")
        fail_to_pull(pulled, tmp_path, pack([(f"f{n}", b"", {}) for n in range(60)]), "layer_too_large")
        configuration.write_text("[images]\nmax_inflate = 1\n")
        fail_to_pull(pulled, tmp_path, pack([("f", b"", {})]), "bad_config")
    finally:
        configuration.unlink()


def test_names_that_other_tools_cannot_take_simply_work(pulled: Home, tmp_path: Path) -> None:
    names = [
        b"new\nline",
        b"quo'te\"",
        b"tab\t\x01\x7f",
        b"\xff\xfe-not-utf8",
        b"x" * 255,
        b" lead",
        b"-rf",
        b"\\n",
    ]
    entries: list[tuple[str, bytes, dict[str, object]]] = [
        (os.fsdecode(b"odd/" + name), name, {}) for name in names
    ]
    (tmp_path / "odd.tar").write_bytes(pack(entries))
    pulled.text("image", "pull", f"tar:{tmp_path}/odd.tar")
    pulled.text("image", "export", "odd", f"{tmp_path}/disk")
    (tmp_path / "mount").mkdir()
    call("mount", "-o", "ro,loop,noload", f"{tmp_path}/disk", f"{tmp_path}/mount")
    try:
        found = os.fsencode(tmp_path / "mount/odd")
        assert {n: Path(os.fsdecode(found + b"/" + n)).read_bytes() for n in os.listdir(found)} == {
            n: n for n in names
        }
    finally:
        call("umount", f"{tmp_path}/mount")


def pack(entries: list[tuple[str, bytes, dict[str, object]]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data, settings in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in settings.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def fail_to_pull(home: Home, tmp_path: Path, data: bytes, code: str | None) -> None:
    (tmp_path / "bad.tar").write_bytes(data)
    disks = set((home.directory / "cache/images").iterdir())
    done = home.run("image", "pull", "--json", "--name", "bad", f"tar:{tmp_path}/bad.tar", timeout_s=60)
    said = done.stderr.decode()
    error = json.loads(said.splitlines()[-1])["error"]
    assert done.returncode != 0 and "Traceback" not in said
    assert error["code"] == code if code else error["code"] != "internal"
    assert error["message"] and error["hint"]
    assert set((home.directory / "cache/images").iterdir()) == disks
    assert "bad" not in home.text("image", "list", "-q")
