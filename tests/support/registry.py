"""A registry of one's own: Debian's docker-registry on a loopback port, with TLS, passwords or tokens.

Stopped by who started it, by pid, when its `with` ends.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from banger.images.reference.documents import INDEX_TYPES, MANIFEST_TYPES

USER, PASSWORD = "tester", "pass-word"
_HTPASSWD = f"{USER}:$2b$04$t5BulwW0iEfz5ZGhotmgTOULPaVOtxs9ta80d4LxGSK/p4oRO.HTa\n"
_LISTENING = re.compile(r"listening on (127\.0\.0\.1:[0-9]+)")
_START_S = 15.0


@dataclass(frozen=True)
class Tls:
    """A CA of the test's own, and a certificate by it for 127.0.0.1 and localhost."""

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True)
class RegistryServer:
    """`host` is 127.0.0.1:PORT."""

    host: str
    pid: int
    storage: Path

    def digest_of(self, where: str) -> str:
        """What the registry itself calls the digest of REPOSITORY:TAG."""
        repository, _, tag = where.partition(":")
        request = Request(f"http://{self.host}/v2/{repository}/manifests/{tag}", method="HEAD")
        request.add_header("Accept", ", ".join((*INDEX_TYPES, *MANIFEST_TYPES)))
        with urlopen(request, timeout=10) as answer:
            return str(answer.headers["Docker-Content-Digest"])


def make_tls(directory: Path) -> Tls:
    require_tools("openssl")
    directory.mkdir(parents=True, exist_ok=True)
    tls = Tls(directory / "ca.crt", directory / "server.crt", directory / "server.key")
    ca_key, request, names = directory / "ca.key", directory / "server.csr", directory / "names"
    names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    made = ["-keyout", str(ca_key), "-out", str(tls.ca)]
    call("openssl", "req", "-x509", *new_key, "-subj", "/CN=test CA", "-days", "2", *made)
    made = ["-keyout", str(tls.key), "-out", str(request)]
    call("openssl", "req", *new_key, "-subj", "/CN=localhost", *made)
    sign = ["-req", "-CA", str(tls.ca), "-CAkey", str(ca_key), "-days", "2", "-extfile", str(names)]
    call("openssl", "x509", *sign, "-in", str(request), "-out", str(tls.certificate))
    return tls


def require_tools(*names: str) -> None:
    """Skips the test that needs a program which is not here."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        pytest.skip(f"capability missing: {', '.join(missing)}")


def call(*argv: str, **environment: str) -> str:
    """A program to its end; what it printed."""
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=120, env={**os.environ, **environment}, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr[-2000:]}")
    return done.stdout.strip()


@contextmanager
def open_registry_server(
    directory: Path, tls: Tls | None = None, htpasswd: bool = False, token: dict[str, str] | None = None
) -> Iterator[RegistryServer]:
    """`token`: realm, service, issuer and rootcertbundle of token authentication."""
    require_tools("docker-registry")
    directory.mkdir(parents=True, exist_ok=True)
    configuration = directory / "config.json"  # JSON is YAML
    configuration.write_text(json.dumps(_configuration(directory, tls, htpasswd, token)))
    log = directory / "log"
    with open(log, "wb") as sink:
        server = subprocess.Popen(
            ["docker-registry", "serve", str(configuration)],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
        )
    try:
        yield RegistryServer(_await_address(log, server), server.pid, directory / "storage")
    finally:
        server.kill()
        server.wait()


def _configuration(
    directory: Path, tls: Tls | None, htpasswd: bool, token: dict[str, str] | None
) -> dict[str, object]:
    http: dict[str, object] = {"addr": "127.0.0.1:0", "secret": "for tests"}
    auth: dict[str, object] = {}
    if tls:
        http["tls"] = {"certificate": str(tls.certificate), "key": str(tls.key)}
    if htpasswd:
        (directory / "htpasswd").write_text(_HTPASSWD)
        auth = {"auth": {"htpasswd": {"realm": "test", "path": str(directory / "htpasswd")}}}
    if token:
        auth = {"auth": {"token": token}}
    storage = {"filesystem": {"rootdirectory": str(directory / "storage")}}
    log = {"level": "info", "accesslog": {"disabled": True}}
    return {"version": "0.1", "log": log, "storage": storage, "http": http, **auth}


def _await_address(log: Path, server: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and server.poll() is None:
        if found := _LISTENING.search(log.read_text()):
            return found[1]
        time.sleep(0.02)
    raise RuntimeError(f"docker-registry does not start: {log.read_text()[-1000:]}")


def sign_token(tls: Tls, issuer: str, service: str, *scopes: str) -> str:
    """A JWT as distribution's token authentication wants it, signed with a key whose certificate is the CA's own. A
    scope is the name of a repository, or "repository:NAME:ACTIONS"."""
    now = int(time.time())
    access = [_access(scope) for scope in scopes]
    claims = {"iss": issuer, "sub": USER, "aud": service, "exp": now + 300, "nbf": now - 60, "iat": now}
    certificate = re.sub(r"-----[A-Z ]+-----|\s", "", tls.certificate.read_text())
    header = {"typ": "JWT", "alg": "ES256", "x5c": [certificate]}
    parts = [
        _base64url(json.dumps(part).encode()) for part in (header, {**claims, "jti": "1", "access": access})
    ]
    signed = subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", str(tls.key)],
        input=".".join(parts).encode(),
        capture_output=True,
        check=True,
    ).stdout
    return ".".join([*parts, _base64url(_raw_signature(signed))])


def _access(scope: str) -> dict[str, object]:
    _, name, actions = scope.split(":") if ":" in scope else ("", scope, "pull")
    return {"type": "repository", "name": name, "actions": actions.split(",")}


def _raw_signature(der: bytes) -> bytes:
    """ECDSA-Sig-Value (two integers) as 32 + 32 bytes, RFC 7518 section 3.4."""
    at, numbers = 2, []
    for _ in range(2):
        length = der[at + 1]
        numbers.append(int.from_bytes(der[at + 2 : at + 2 + length], "big").to_bytes(32, "big"))
        at += 2 + length
    return b"".join(numbers)


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
