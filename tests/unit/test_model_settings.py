"""Settings: what a file and an environment may say, what is refused by name, and where each value comes from."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from banger.environment import SETTINGS, for_daemon, for_vmms
from banger.errors import Error
from banger.model.settings import Settings, combine, find_key, keys, read_settings, variables

DOCUMENT = Path(__file__).parents[2] / "docs/configuration.md"


def refusal(text: str = "", **environ: str) -> Error:
    with pytest.raises(Error) as caught:
        combine(text, "config.toml", environ)
    assert caught.value.code == "bad_config"
    return caught.value


def test_the_environment_goes_before_the_file_and_the_file_before_the_default() -> None:
    found = {
        one.key.path: (one.value, one.source, one.place)
        for one in combine(
            "[pool]\nper_template = 3\nkeep = 60\n[vmm.programs]\nfirecracker = '/opt/fc'\n",
            "/c/config.toml",
            {
                "BANGER_POOL_KEEP": "1.5",
                "BANGER_TEMPLATES_ENABLED": "off",
                "BANGER_WEB_HOSTS": "a, b",
                "BANGER_HOME": "/",
            },
        )
    }
    assert found["pool.per_template"] == (3, "file", "/c/config.toml")
    assert found["pool.keep"] == (1.5, "environment", "BANGER_POOL_KEEP")
    assert found["templates.enabled"] == (False, "environment", "BANGER_TEMPLATES_ENABLED")
    assert found["web.hosts"] == (["a", "b"], "environment", "BANGER_WEB_HOSTS")
    assert found["vmm.programs"] == ({"firecracker": "/opt/fc"}, "file", "/c/config.toml")
    assert found["pool.reserve"] == ("1GiB", "default", "")


def test_what_is_read_is_what_is_explained(tmp_path: Path) -> None:
    assert read_settings(tmp_path, {}) == Settings()
    (tmp_path / "config.toml").write_text("[limits]\nconnections = 20\n[web]\nhosts = ['x']\n")
    settings = read_settings(tmp_path, {"BANGER_NETWORK_DEFAULT": "none"})
    assert (settings.limits.connections, settings.web.hosts, settings.network.default) == (20, ["x"], "none")
    assert Settings().web.hosts == []


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("[pol]\n", "no section [pol]", "pool"),
        ("[pool]\nper_tempalte = 1\n", "[pool] has no key per_tempalte", "pool.per_template"),
        ("[zzz]\n", "no section [zzz]", "docs/configuration.md"),
        ("pool = 1\n", "pool must be a section", ""),
        ("[pool]\nper_template = 65\n", "pool.per_template must be a whole number from 0 to 64, not 65", ""),
        (
            "[pool]\nper_template = '1'\n",
            "pool.per_template must be a whole number from 0 to 64, not '1'",
            "",
        ),
        ("[pool]\nreserve = 'much'\n", "pool.reserve: bad size", ""),
        ("[images]\nmax_inflated = '0'\n", "images.max_inflated: it must be at least 1 bytes", ""),
        ("[images]\nmax_entries = 0\n", "images.max_entries must be a whole number of at least 1, not 0", ""),
        (
            "[network]\ndefault = 'lam'\n",
            "network.default must be one of host, internet, lan, none, not 'lam'",
            "",
        ),
        ("[web]\nlisten = 'x'\n", "web.listen: 'x' is not HOST:PORT", "127.0.0.1:8040"),
        ("[web]\nkey = 'x'\n", "certificate and key together", ""),
        ("[web]\nhosts = [1]\n", "web.hosts must be a list of texts, not [1]", ""),
        ("[vmm]\nprograms = {firecracker = 1}\n", "vmm.programs must be a table of texts", ""),
        ("[pool\n", "config.toml", ""),
        ("x = " + "[" * 10_000, "config.toml", ""),
    ],
)
def test_what_a_file_may_not_say_is_refused_by_name(text: str, words: str, hint: str) -> None:
    error = refusal(text)
    assert words in error.message and hint in error.hint and "$" not in error.message


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("BANGER_POOL_KEPT", "1", "BANGER_POOL_KEPT is no setting"),
        ("BANGER_POOL_KEEP", "soon", "BANGER_POOL_KEEP must be a number greater than 0, not 'soon'"),
        ("BANGER_TEMPLATES_ENABLED", "maybe", "BANGER_TEMPLATES_ENABLED must be true or false, not 'maybe'"),
        ("BANGER_VMM_PROGRAMS", "x", "BANGER_VMM_PROGRAMS is no setting"),
    ],
)
def test_so_is_what_the_environment_says(variable: str, value: str, words: str) -> None:
    assert words in refusal(**{variable: value}).message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"# \xff")
    with pytest.raises(Error) as caught:
        read_settings(tmp_path, {})
    assert caught.value.code == "bad_config" and str(tmp_path) in caught.value.message


def test_the_daemon_gets_all_settings_of_the_environment_and_a_vmm_none() -> None:
    given = dict.fromkeys([*variables(), "BANGER_POOL_MISSPELT"], "1")
    assert for_daemon(given) == given and for_vmms(given) == {}
    assert {f"BANGER_{field.name.upper()}_" for field in msgspec.structs.fields(Settings)} == set(SETTINGS)


def test_the_document_has_each_setting_with_its_default() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    written = tomllib.loads(block)
    for key in keys():
        value = written[key.section][key.name]
        assert key.is_table or value == key.default, key.path
        assert key.is_table or key.meaning.split(";")[0] in block, key.path
    assert {f"{section}.{name}" for section, names in written.items() for name in names} == {
        key.path for key in keys()
    }


def test_a_key_is_found_by_its_path() -> None:
    assert find_key("pool.keep").variable == "BANGER_POOL_KEEP"
    with pytest.raises(Error) as caught:
        find_key("pool.keeep")
    assert caught.value.hint == "did you mean pool.keep?"


def test_no_setting_is_set_where_tests_run() -> None:
    assert not [name for name in os.environ if name in variables()]
