"""`banger config`: a setting is changed, shown with its source, and holds for the daemon after a restart."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.support.home import Home

pytestmark = pytest.mark.e2e


def test_a_setting_is_changed_shown_and_holds(own_home: Home) -> None:
    home, file = own_home, own_home.directory / "config/config.toml"
    kept = "# mine\n[limits] # of this host\nconnections = 100 # enough\n"
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.write_text(kept)
    assert "restart" in home.text("config", "set", "network.default", "none")
    home.text("config", "set", "vmm.programs.firecracker", "/opt/firecracker")
    assert file.read_text().startswith(kept) and "restart" in home.text("config", "set", "pool.keep", "60")
    shown = {one["key"]: one for one in home.json("config", "show")}
    assert shown["network.default"]["value"] == "none" and shown["network.default"]["place"] == str(file)
    assert shown["vmm.programs"]["value"] == {"firecracker": "/opt/firecracker"}
    assert (shown["pool.keep"]["value"], shown["pool.keep"]["default"]) == (60, 3600)
    home.text("system", "restart")
    home.text("run", "--rm", "--name", "closed", "debian-bookworm", "true")
    assert "none" in home.text("run", "--rm", "debian-bookworm", "sh", "-c", "ip link | wc -l; echo none")
    home.text("config", "unset", "network.default", "pool.keep", "vmm.programs.firecracker")
    assert {one["source"] for one in home.json("config", "show", "network.default", "pool.keep")} == {
        "default"
    }
    assert "connections = 100 # enough" in file.read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("set", "pool.keeps", "1"), "did you mean pool.keep?"),
        (("set", "pool.keep", "soon"), "pool.keep must be a number greater than 0, not 'soon'"),
        (("set", "vmm.programs", "x"), "vmm.programs.firecracker"),
        (("unset", "nothing"), "nothing is no setting"),
        (("show", "pool"), "pool is no setting"),
        (("set", "web.key", "/k.pem"), "certificate and key together"),
    ],
)
def test_what_is_wrong_is_refused_and_changes_nothing(home: Home, words: tuple[str, ...], said: str) -> None:
    file = home.directory / "config/config.toml"
    before = file.read_bytes() if file.exists() else None
    done = home.run("config", *words)
    assert done.returncode == 125 and said in done.stderr.decode()
    assert (file.read_bytes() if file.exists() else None) == before


def test_an_editor_changes_the_file_only_if_the_text_is_right(own_home: Home, tmp_path: Path) -> None:
    home, file = own_home, own_home.directory / "config/config.toml"
    editor = tmp_path / "edit it"
    file.unlink()  # of this home; the first text begins without one

    def edit(script: str) -> tuple[int, str]:
        editor.write_text(f"#!/bin/sh\n{script}\n")
        editor.chmod(0o700)
        done = home.run("config", "edit", env={"EDITOR": f"'{editor}'"})
        return done.returncode, (done.stdout + done.stderr).decode()

    code, said = edit("printf '[pool]\\nkeep = 60\\n' >> \"$1\"")
    assert code == 0 and "restart" in said and "keep = 60" in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    code, said = edit("echo 'kept = 1' >> \"$1\"")
    assert code == 125 and "did you mean pool.keep?" not in said and "kept" not in file.read_text()
    (copy,) = [word for word in said.split() if "banger-config-" in word]
    assert "kept = 1" in Path(copy).read_text()
    os.unlink(copy)
    assert edit("exit 1") == (0, "nothing was changed\n") and edit("true") == (0, "nothing was changed\n")
