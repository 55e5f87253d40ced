"""Published ports: what users write, and the sockets that it means."""

from __future__ import annotations

import socket

import pytest

from banger.errors import Error
from banger.model.network import PublishedPort
from banger.network.ports import bound, describe, publish_exposed, read_ports, without_ports


def port(bind: str, host: int, guest: int, protocol: str = "tcp") -> PublishedPort:
    return PublishedPort(
        bind=bind, port=host, guest_port=guest, protocol="udp" if protocol == "udp" else "tcp"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8080:80", [port("127.0.0.1", 8080, 80)]),
        ("0:80", [port("127.0.0.1", 0, 80)]),
        ("0.0.0.0:8080:80", [port("0.0.0.0", 8080, 80)]),
        ("[::1]:8080:80/tcp", [port("::1", 8080, 80)]),
        ("53:53/udp", [port("127.0.0.1", 53, 53, "udp")]),
        ("9000-9001:90-91", [port("127.0.0.1", 9000, 90), port("127.0.0.1", 9001, 91)]),
        ("0:90-91", [port("127.0.0.1", 0, 90), port("127.0.0.1", 0, 91)]),
    ],
)
def test_a_port_is_read(text: str, expected: list[PublishedPort]) -> None:
    assert read_ports([text]) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "80", ":80", "8080:", "8080:0", "8080:65536", "65536:80", "8080:80/sctp", "x:80", "1.2.3:8080:80",
        "::1:8080:80", "[::1:8080:80", "9000-9001:90", "9001-9000:90-91", "0-1:90-91", "8080:80 ", "-1:80",
        "٨٠:80", "256.1.1.1:80:80", "1:2:3:4", "8080:80/TCP", "8080:80\n",
    ],
)  # fmt: skip
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(Error) as caught:
        read_ports([text])
    assert caught.value.code == "bad_spec"


@pytest.mark.parametrize(
    "texts", [["8080:80", "8080:81"], ["8080:80", "127.0.0.1:8080:80"], ["1-65535:1-65535"]]
)
def test_a_port_twice_and_too_many_ports_are_refused(texts: list[str]) -> None:
    with pytest.raises(Error) as caught:
        read_ports(texts)
    assert caught.value.code == "bad_spec"


def test_one_number_may_be_published_for_both_protocols() -> None:
    assert len(read_ports(["5353:53", "5353:53/udp", "0:1", "0:1"])) == 4


@pytest.mark.parametrize(
    ("exposed", "expected"),
    [
        (["80/tcp", "443", "443/tcp", "53/udp"], [(443, "tcp"), (53, "udp")]),
        (["5000-5002/udp", "5001/udp"], [(5000, "udp"), (5001, "udp"), (5002, "udp")]),
        (["79-81"], [(79, "tcp"), (81, "tcp")]),
        (["0-1/tcp", "65535-99999"], [(1, "tcp"), (65535, "tcp")]),
        (["70000/tcp", "x/tcp", "80/sctp", "", "9-8", "1-", "٨", "1" * 5000, "82/TCP"], []),
    ],
)
def test_what_an_image_exposes_is_published_once(exposed: list[str], expected: list[tuple[int, str]]) -> None:
    found = publish_exposed(exposed, [port("0.0.0.0", 8080, 80)])
    assert found == [port("127.0.0.1", 0, number, protocol) for number, protocol in expected]


def test_an_image_that_exposes_too_many_ports_is_refused() -> None:
    with pytest.raises(Error) as caught:
        publish_exposed(["1-65535/tcp", "1-65535/udp"], [])
    assert caught.value.code == "bad_spec"


@pytest.mark.parametrize(
    ("texts", "gone", "kept"),
    [
        (["8080:80", "8081:81"], [port("127.0.0.1", 8080, 80)], ["8081:81"]),
        (["0:80"], [port("127.0.0.1", 40000, 80)], []),
        (["0:80", "0:80"], [port("127.0.0.1", 40000, 80)], ["0:80"]),
        (["0:80", "8080:80"], [port("127.0.0.1", 8080, 80)], ["0:80"]),
        (["0:80/udp", "[::1]:0:80"], [port("127.0.0.1", 40000, 80)], ["0:80/udp", "[::1]:0:80"]),
        (["[::1]:0:80-81"], [port("::1", 40000, 80)], ["[::1]:0:81/tcp"]),
        (
            ["9000-9002:90-92"],
            [port("127.0.0.1", 9001, 91)],
            ["127.0.0.1:9000:90/tcp", "127.0.0.1:9002:92/tcp"],
        ),
        (["9000:90"], [port("127.0.0.1", 9001, 90)], ["9000:90"]),
    ],
)
def test_a_port_that_is_removed_is_gone_from_what_the_user_asked_for(
    texts: list[str], gone: list[PublishedPort], kept: list[str]
) -> None:
    assert without_ports(texts, gone) == kept


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_port_in_use_is_an_error_that_names_it(protocol: str) -> None:
    with bound([port("127.0.0.1", 0, 80, protocol)]) as first:
        taken = first[0][0]
        assert taken.port and first[0][1].getsockname() == ("127.0.0.1", taken.port)
        with pytest.raises(Error) as caught, bound([port("127.0.0.1", 0, 1), taken]):
            pass
        assert caught.value.code == "port_in_use" and describe(taken) in caught.value.message
    with bound([taken]) as again:
        assert again[0][0] == taken


def test_a_port_can_be_open_on_both_families() -> None:
    if not socket.has_ipv6:
        pytest.skip("capability missing: IPv6")
    with bound([port("0.0.0.0", 0, 80)]) as first:
        number = first[0][0].port
        with bound([port("::", number, 80)]) as second:
            assert describe(second[0][0]) == f"[::]:{number}/tcp"
