"""The client at a door: which hosts it accepts, where the token goes, TLS, and what it does not follow. The server is
the real one, on the loopback."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from banger.client import calls, way
from banger.client.aio import AsyncClient
from banger.client.call import Pieces
from banger.client.messages import Json
from banger.client.stream import open_stream
from banger.client.sync import Client
from banger.client.transport import request
from banger.client.way import Way, choose_way, parse_host
from banger.errors import Error
from banger.server.certificates import ensure_own
from tests.support.open_door import OpenDoor, open_door

VARIABLES = ("BANGER_HOST", "BANGER_TOKEN", "BANGER_TOKEN_FILE", "BANGER_CA_FILE", "BANGER_SOCKET")
SECRET = "banger_secret-that-nobody-sees"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[OpenDoor]:
    with open_door(tmp_path) as found:
        yield found


@pytest.fixture
def safe(tmp_path: Path) -> Iterator[tuple[OpenDoor, str]]:
    """A door with TLS, and the path of its certificate."""
    certificate, key = ensure_own(tmp_path / "tls", ("127.0.0.1", "localhost"))
    with open_door(tmp_path, certificate=str(certificate), key=str(key)) as found:
        yield found, str(certificate)


# Which hosts there are


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("unix:///run/b.sock", ("unix", "/run/b.sock", 0)),
        ("https://box.lan:8040", ("https", "box.lan", 8040)),
        ("https://box.lan", ("https", "box.lan", 443)),
        ("HTTPS://10.0.0.7:1/", ("https", "10.0.0.7", 1)),
        ("http://127.0.0.1:65535", ("http", "127.0.0.1", 65535)),
        ("https://[fd00::7]:8040", ("https", "fd00::7", 8040)),
        ("https://[::1]", ("https", "::1", 443)),
    ],
)
def test_a_host_is_a_socket_or_a_door(text: str, found: tuple[str, str, int]) -> None:
    assert parse_host(text) == found


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "box",
            "box:8040",
            "/run/b.sock",
            "tcp://10.0.0.7:1",
            "ssh://box",
            "unix://relative",
            "unix://",
            "://x",
        ),
        *(
            "https://",
            "https:///x",
            "https://:1",
            "https://box:",
            "https://box:0",
            "https://box:65536",
            "https://box:x",
        ),
        *(
            "https://box:1/v1",
            "https://box?x=y",
            "https://box#x",
            "https://b ox",
            "https://b\nox:1",
            "https://b\0x",
        ),
        *(
            "https://[::1",
            "https://[::1]x",
            "https://[box]:1",
            "https://::1:1",
            "https://b\xe4r",
            "https://" + "a" * 999,
        ),
        *("https://box:٣", "https://box:+1", "unix:///a\0b", "file:///x", "javascript://x"),
    ],
)
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(Error) as caught:
        parse_host(text)
    assert caught.value.code == "bad_request" and "https://" in caught.value.hint


def test_a_password_in_a_host_is_refused_and_not_repeated() -> None:
    with pytest.raises(Error) as caught:
        choose_way(host=f"https://me:{SECRET}@box:1")
    assert SECRET not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    "host", ["http://10.0.0.7:8040", "http://box.lan", "http://128.0.0.1:1", "http://[fd00::1]:1"]
)
def test_without_tls_only_the_loopback_is_spoken_to(host: str) -> None:
    with pytest.raises(Error, match="has no TLS") as caught:
        Client(host=host, token=SECRET)
    assert "https://" in caught.value.hint and SECRET not in str(caught.value.as_dict())


def test_a_name_that_says_it_is_the_loopback_has_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver may say anything of "localhost"."""
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 8040))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer)
    with pytest.raises(Error, match="has no address of the loopback"):
        Client(host="http://localhost:8040", token=SECRET).dial()


def test_the_environment_names_the_daemon_unless_the_caller_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BANGER_SOCKET", "/own.sock")
    assert choose_way() == ("/own.sock", None)
    monkeypatch.setenv("BANGER_HOST", "unix:///other.sock")
    assert choose_way() == ("/other.sock", None) and choose_way("/mine.sock") == ("/mine.sock", None)
    (tmp_path / "token").write_text(f"{SECRET}\n")
    monkeypatch.setenv("BANGER_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("BANGER_HOST", "https://box:1")
    _, found = choose_way()
    assert found is not None and (found.url, found.headers["Authorization"]) == (
        "https://box:1",
        f"Bearer {SECRET}",
    )
    monkeypatch.setenv("BANGER_TOKEN", "banger_x")
    _, found = choose_way(host="https://[::1]:2")
    assert found is not None and (found.name, found.headers["Authorization"]) == (
        "[::1]:2",
        "Bearer banger_x",
    )
    _, found = choose_way(host="https://box:1", token="banger_y")
    assert found is not None and found.headers["Authorization"] == "Bearer banger_y"
    with pytest.raises(Error, match="not both"):
        Client("/mine.sock", host="https://box:1")


@pytest.mark.parametrize("token", ["a b", "a\r\nX: y", "t\xf6ken", "a" * 5000, "\0"])
def test_what_is_no_token_is_refused_and_not_repeated(
    token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Error, match="is not a token") as caught:
        choose_way(host="https://box:1", token=token)
    assert token not in str(caught.value.as_dict())
    (tmp_path / "token").write_bytes(token.encode("latin-1"))
    monkeypatch.setenv("BANGER_TOKEN_FILE", str(tmp_path / "token"))
    with pytest.raises(Error, match="is not a token") as caught:
        choose_way(host="https://box:1")
    assert token not in str(caught.value.as_dict())


def test_a_file_without_a_token_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANGER_TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(Error, match=r"cannot read .*none: No such file"):
        choose_way(host="https://box:1")


# The door


def test_a_client_with_a_token_comes_in(house: OpenDoor) -> None:
    client = Client(host=house.url, token=house.token("ci"))
    assert client.access.whoami().principal == "token ci"
    assert client.with_timeout(5).access.whoami().principal == "token ci"
    with pytest.raises(Error) as caught:
        client.operations.get("none")
    assert caught.value.code == "operation_not_found"


def test_so_does_one_for_asyncio(safe: tuple[OpenDoor, str]) -> None:
    house, certificate = safe
    client = AsyncClient(host=house.url, token=house.token("ci"), ca_file=certificate)

    async def ask() -> str:
        assert await client.machines.list() == []
        return (await client.with_timeout(5).access.whoami()).principal

    assert asyncio.run(ask()) == "token ci"


@pytest.mark.parametrize("token", ["", SECRET])
def test_who_has_no_valid_token_is_told_so_without_it(house: OpenDoor, token: str) -> None:
    client = Client(host=house.url, token=token)
    with pytest.raises(Error) as caught:
        client.machines.list()
    assert caught.value.code == "not_logged_in"
    said = "".join(traceback.format_exception(caught.value)) + str(caught.value.as_dict()) + repr(client._way)
    assert SECRET not in said


def test_a_stream_says_the_token_too(house: OpenDoor) -> None:
    def told(token: str) -> str:
        first: Json = {"command": {"argv": ["true"]}}
        with (
            pytest.raises(Error) as caught,
            open_stream(
                Client(host=house.url, token=token).dial, calls.machines_exec_target("x"), first
            ) as stream,
        ):
            stream.wait(30)
        return caught.value.code

    assert told(house.token()) == "machine_not_found"
    assert told(house.token("r", "read")) == "not_permitted"
    assert told("banger_x") == "not_logged_in"


def test_nobody_listens_is_said_with_the_place() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(Error, match=f"cannot connect to {url}: Connection refused") as caught:
            Client(host=url, token=SECRET).machines.list()
    assert caught.value.code == "daemon_unreachable" and SECRET not in str(caught.value.as_dict())


@contextmanager
def server(answer: Callable[[socket.socket, bytes], None]) -> Iterator[tuple[int, list[bytes]]]:
    """A port of the loopback where each request is answered so, and what was sent there."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    heard.append(connection.recv(65536))
                    answer(connection, heard[-1])

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], heard
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(30)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_token_is_led_nowhere(status: int) -> None:
    with server(lambda connection, _: connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")) as (other, heard):
        place = f"http://127.0.0.1:{other}/v1/machines"
        head = f"HTTP/1.1 {status} Gone\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode()
        with server(lambda connection, _: connection.sendall(head)) as (port, asked):
            host = f"http://127.0.0.1:{port}"
            with pytest.raises(Error, match="it leads elsewhere"):
                Client(host=host, token=SECRET).machines.list()
            with pytest.raises(Error, match="it leads elsewhere"):
                asyncio.run(AsyncClient(host=host, token=SECRET).machines.list())
            with pytest.raises(Error, match="it leads elsewhere"):
                open_stream(Client(host=host, token=SECRET).dial, "/v1/run", {})
        assert len(asked) == 3 and all(SECRET.encode() in one for one in asked) and not heard


def test_requests_name_the_host_that_they_are_for(house: OpenDoor) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"
    with server(lambda connection, _: connection.sendall(head)) as (port, heard):
        assert Client(host=f"http://localhost:{port}", token=SECRET).machines.list() == []
    lines = heard[0].split(b"\r\n")
    assert lines[0] == b"GET /v1/machines HTTP/1.1"
    assert f"Host: localhost:{port}".encode() in lines and f"Authorization: Bearer {SECRET}".encode() in lines


# TLS


def test_the_certificate_has_to_be_trusted(safe: tuple[OpenDoor, str], tmp_path: Path) -> None:
    house, certificate = safe
    secret = house.token("ci")
    assert Client(host=house.url, token=secret, ca_file=certificate).access.whoami().principal == "token ci"
    other, _ = ensure_own(tmp_path / "other", ("127.0.0.1",))
    for trusted in ("", str(other)):
        with pytest.raises(
            Error, match=r"the certificate of https://127\.0\.0\.1:[0-9]+: self.signed"
        ) as caught:
            Client(host=house.url, token=secret, ca_file=trusted).access.whoami()
        assert caught.value.code == "tls_failed" and "BANGER_CA_FILE" in caught.value.hint
        assert secret not in str(caught.value.as_dict())


def test_the_certificate_has_to_have_the_name(tmp_path: Path) -> None:
    certificate, key = ensure_own(tmp_path / "tls", ("box.lan",))
    with (
        open_door(tmp_path, certificate=str(certificate), key=str(key)) as house,
        pytest.raises(Error, match=r"the certificate of .* is not valid for") as caught,
    ):
        Client(host=house.url, token=SECRET, ca_file=str(certificate)).access.whoami()
    assert caught.value.code == "tls_failed"


@pytest.mark.parametrize("contents", [None, b"", b"no certificate"])
def test_a_file_without_a_certificate_is_named(tmp_path: Path, contents: bytes | None) -> None:
    if contents is not None:
        (tmp_path / "ca.pem").write_bytes(contents)
    with server(lambda *_: None) as (port, _), pytest.raises(Error, match=r"cannot use .*ca\.pem") as caught:
        Client(host=f"https://127.0.0.1:{port}", ca_file=str(tmp_path / "ca.pem")).machines.list()
    assert caught.value.code == "bad_request"


def test_a_door_without_tls_gets_no_token_of_one_with(house: OpenDoor) -> None:
    with pytest.raises(Error, match="no TLS with https://") as caught:
        Client(host=house.url.replace("http:", "https:"), token=SECRET).machines.list()
    assert caught.value.code == "tls_failed"


def test_what_is_large_goes_through_tls_both_ways(safe: tuple[OpenDoor, str]) -> None:
    """The door refuses a body that is too long, and may end the connection before its answer is read."""
    house, certificate = safe
    client = Client(host=house.url, token=house.token(), ca_file=certificate)
    with pytest.raises(Error) as caught:
        client.machines.create("x", labels={"a": "b" * (32 << 20)})
    assert caught.value.code in ("payload_too_large", "daemon_unreachable")
    described = request(client.dial(), "GET", "/openapi.json").read()
    assert len(described) > 100_000 and described.endswith(b"}")


def test_an_upload_that_is_refused_early_is_not_sent_to_its_end(safe: tuple[OpenDoor, str]) -> None:
    house, certificate = safe
    client = Client(host=house.url, token=house.token("r", "read"), ca_file=certificate)
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        while True:
            sent += 1 << 16
            yield os.urandom(1 << 16)

    call = calls.images_import_tar("x", pieces())
    assert isinstance(call.body, Pieces)
    with pytest.raises(Error) as caught:
        client.perform(call)
    assert caught.value.code in ("not_permitted", "daemon_unreachable") and sent < 64 << 20


def test_ends_of_connections_are_left_open_by_nobody(safe: tuple[OpenDoor, str]) -> None:
    house, certificate = safe
    client = Client(host=house.url, token=house.token(), ca_file=certificate)
    client.machines.list()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(20):
            client.dial().close()
        gc.collect()
    for thread in threading.enumerate():
        if thread.name == "banger-tls":
            thread.join(30)
            assert not thread.is_alive()


def test_tls_of_old_is_refused(safe: tuple[OpenDoor, str]) -> None:
    from banger.client.tls import trust

    assert trust(safe[1]).minimum_version is ssl.TLSVersion.TLSv1_2
    assert trust("").verify_mode is ssl.CERT_REQUIRED and trust("").check_hostname


def test_a_door_that_hangs_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a socket: another connection asks whether the daemon lives."""
    from banger.client import patience
    from banger.errors import TimedOut

    monkeypatch.setattr(patience, "LOOK_AFTER_S", 0.2)
    monkeypatch.setattr(patience, "LIFE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TimedOut):
            Client(host=host, token=SECRET).machines.stop("x")
        with pytest.raises(TimedOut):
            asyncio.run(AsyncClient(host=host, token=SECRET).machines.stop("x"))


def test_a_way_shows_no_token() -> None:
    found = Way("box", 1, True, SECRET)
    assert SECRET not in repr(found) and SECRET not in f"{found.url} {found.name}" and way.TOKEN_VARIABLE
