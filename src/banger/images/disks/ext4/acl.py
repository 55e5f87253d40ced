"""POSIX ACLs: setxattr(2) takes them in one form, ext4 keeps them in another.

    setxattr: version 2 u32, then { tag u16, permissions u16, id u32 } each
    ext4:     version 1 u32, then the same without the id where the tag has none

Source: kernel include/uapi/linux/posix_acl_xattr.h and fs/ext4/acl.h (the numbers).
"""

from __future__ import annotations

import struct

_VERSION = struct.Struct("<I")
_GIVEN_VERSION, _STORED_VERSION = 2, 1
_ENTRY = struct.Struct("<HHI")
_SHORT = struct.Struct("<HH")
_USER, _GROUP = 0x02, 0x08
_WITHOUT_ID = frozenset((0x01, 0x04, 0x10, 0x20))  # tags without an id: owner, owning group, mask, others


def is_no_acl(value: bytes) -> bool:
    """Whether the list is empty: setxattr(2) then removes the access list."""
    return not value or value == _VERSION.pack(_GIVEN_VERSION)


def store_acl(value: bytes) -> bytes | None:
    """ext4's form of a value for setxattr(2); None if the value is no ACL."""
    count, rest = divmod(len(value) - _VERSION.size, _ENTRY.size)
    if count < 1 or rest or _VERSION.unpack_from(value)[0] != _GIVEN_VERSION:
        return None
    parts = [_VERSION.pack(_STORED_VERSION)]
    for tag, permissions, number in _ENTRY.iter_unpack(value[_VERSION.size :]):
        if tag in _WITHOUT_ID:
            parts.append(_SHORT.pack(tag, permissions))
        elif tag in (_USER, _GROUP):
            parts.append(_ENTRY.pack(tag, permissions, number))
        else:
            return None
    return b"".join(parts)
