"""Signatures, with minisign itself as the judge."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from banger.catalogs.minisign import (
    PublicKey,
    SecretKey,
    _scrypt_cost,
    parse_public_key,
    parse_secret_key,
    sign,
    verify,
)
from banger.errors import Error
from tests.support.registry import require_tools

KEY = SecretKey(b"12345678", bytes(range(32)))
DATA = b'{"format": 1}'


def minisign(directory: Path, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    require_tools("minisign")
    return subprocess.run(
        ["minisign", *words],
        cwd=directory,
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def code_of(key: PublicKey, data: bytes, signature: bytes) -> str:
    with pytest.raises(Error) as caught:
        verify(key, data, signature)
    return caught.value.code


def test_what_we_sign_minisign_accepts(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_bytes(DATA)
    (tmp_path / "index.json.minisig").write_bytes(sign(KEY, DATA, "version 7"))
    done = minisign(tmp_path, "-Vm", "index.json", "-P", str(KEY.public))
    assert done.returncode == 0 and "Trusted comment: version 7" in done.stdout, done.stderr
    (tmp_path / "index.json").write_bytes(DATA + b" ")
    assert minisign(tmp_path, "-Vm", "index.json", "-P", str(KEY.public)).returncode != 0


@pytest.mark.parametrize("options", [(), ("-l",)])
def test_what_minisign_signs_we_accept(tmp_path: Path, options: tuple[str, ...]) -> None:
    """With and without a hash first."""
    assert minisign(tmp_path, "-G", "-W", "-p", "a.pub", "-s", "a.key").returncode == 0
    (tmp_path / "index.json").write_bytes(DATA)
    done = minisign(tmp_path, "-S", *options, "-s", "a.key", "-t", "hello", "-m", "index.json")
    assert done.returncode == 0, done.stderr
    key = parse_public_key((tmp_path / "a.pub").read_text())
    signature = (tmp_path / "index.json.minisig").read_bytes()
    assert verify(key, DATA, signature) == "hello"
    assert code_of(key, DATA + b"\n", signature) == "catalog_untrusted"
    secret = parse_secret_key((tmp_path / "a.key").read_text())
    assert secret.public == key
    assert verify(key, DATA, sign(secret, DATA, "again")) == "again"


def test_a_key_is_read_as_a_line_and_as_a_file() -> None:
    text = str(KEY.public)
    assert len(text) == 56 and text.startswith("RW")
    assert parse_public_key(text) == parse_public_key(f"untrusted comment: x\n{text}\n") == KEY.public


@pytest.mark.parametrize("text", ["", "RWQ", "x" * 56, str(KEY.public) + "A", "a\nb\nc", "\n\n", "é"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(Error) as caught:
        parse_public_key(text)
    assert caught.value.code == "bad_request"


def test_every_changed_byte_of_a_signature_is_noticed() -> None:
    """But for the comment that says of itself that it is not to be trusted."""
    signature = sign(KEY, DATA, "t")
    begin = signature.index(b"\n") + 1
    for at in range(begin, len(signature) - 1):
        changed = bytearray(signature)
        changed[at] ^= 1
        assert code_of(KEY.public, DATA, bytes(changed)) == "catalog_untrusted", at


@pytest.mark.parametrize("cut", [0, 1, 60, 120, 200])
def test_half_a_signature_is_none(cut: int) -> None:
    assert code_of(KEY.public, DATA, sign(KEY, DATA, "t")[:cut]) == "catalog_untrusted"


def test_another_key_is_named() -> None:
    other = SecretKey(os.urandom(8), os.urandom(32))
    with pytest.raises(Error, match="another key"):
        verify(other.public, DATA, sign(KEY, DATA, "t"))
    same_number = SecretKey(KEY.number, os.urandom(32))
    assert code_of(same_number.public, DATA, sign(KEY, DATA, "t")) == "catalog_untrusted"


def test_the_cost_of_a_password_is_libsodiums() -> None:
    """crypto_pwhash_scryptsalsa208sha256: INTERACTIVE is N=2^14, SENSITIVE N=2^20, both with r=8, p=1."""
    assert _scrypt_cost(524288, 16777216) == (1 << 14, 8, 1)
    assert _scrypt_cost(33554432, 1073741824) == (1 << 20, 8, 1)


def test_a_secret_key_does_not_print_itself() -> None:
    assert repr(KEY.seed) not in repr(KEY)
    with pytest.raises(Error) as caught:
        parse_secret_key("untrusted comment: x\nAAAA\n")
    assert caught.value.code == "bad_request"
