"""Frames that a guest could send, byte by byte."""

from __future__ import annotations

import ipaddress
import struct

_UDP = 17
_ICMPV6 = 58


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def udp(to_hardware: bytes, hardware: str, source: str, target: str, port: int, data: bytes) -> bytes:
    """A datagram from port 1000, IPv4 or IPv6 as its addresses are."""
    length = 8 + len(data)
    body = struct.pack("!4H", 1000, port, length, 0) + data
    body = body[:6] + struct.pack("!H", _sum(source, target, _UDP, body) or 0xFFFF) + body[8:]
    return ethernet(to_hardware, hardware, source, target, _UDP, body)


def neighbour_solicitation(hardware: str, source: str, target: str) -> bytes:
    """Asks all nodes for the hardware address of `target`."""
    option = bytes([1, 1]) + bytes.fromhex(hardware.replace(":", ""))
    body = bytes([135, 0, 0, 0, 0, 0, 0, 0]) + ipaddress.ip_address(target).packed + option
    group = ipaddress.ip_address("ff02::1:ff00:0").packed[:13] + ipaddress.ip_address(target).packed[13:]
    to = str(ipaddress.IPv6Address(group))
    body = body[:2] + struct.pack("!H", _sum(source, to, _ICMPV6, body)) + body[4:]
    return ethernet(b"\x33\x33" + group[12:], hardware, source, to, _ICMPV6, body, hops=255)


def arp_request(hardware: str, source: str, target: str) -> bytes:
    ours = bytes.fromhex(hardware.replace(":", ""))
    return (
        bytes([255] * 6)
        + ours
        + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1)
        + ours
        + ipaddress.ip_address(source).packed
        + bytes(6)
        + ipaddress.ip_address(target).packed
    )


def ethernet(
    to_hardware: bytes, hardware: str, source: str, target: str, protocol: int, body: bytes, hops: int = 64
) -> bytes:
    ours = bytes.fromhex(hardware.replace(":", ""))
    addresses = ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed
    if len(addresses) == 8:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 7, 0, hops, protocol, 0) + addresses
        head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
        return to_hardware + ours + struct.pack("!H", 0x0800) + head + body
    head = struct.pack("!IHBB", 6 << 28, len(body), protocol, hops) + addresses
    return to_hardware + ours + struct.pack("!H", 0x86DD) + head + body


def _sum(source: str, target: str, protocol: int, body: bytes) -> int:
    addresses = ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed
    return checksum(addresses + struct.pack("!II", len(body), protocol) + body)
