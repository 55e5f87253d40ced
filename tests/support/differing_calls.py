"""Where a directory of the host answers a system call otherwise than an ext4 of the guest's own. docs/files.md has them
in words. Each is there for a reason; what is not listed is the same."""

from __future__ import annotations

DIFFERENT = {
    # Nothing that leads into the host, and nothing that needs rights on it.
    ('mknod: mkfifo("pipe", 0600)', "ok", "EPERM"),
    ('mknod: mknod("null", S_IFCHR | 0600, makedev(1, 3))', "ok", "EPERM"),
    ('mknod: bind_at("socket")', "ok", "EPERM"),
    ('rename: rename_flags("file", "other", WHITEOUT)', "ok", "EINVAL"),
    ("chmod: what is file #3", "a file, 6755, 1 names, 1 bytes", "a file, 755, 1 names, 1 bytes"),
    ('chown: chown("file", 12345, (gid_t)-1)', "ok", "EPERM"),
    ('chown: chown("file", (uid_t)-1, 12345)', "ok", "EPERM"),
    ('xattr: setxattr("file", "trusted.t", "x", 1, 0)', "ok", "EOPNOTSUPP"),
    ('xattr: setxattr("file", "security.s", "x", 1, 0)', "ok", "EOPNOTSUPP"),
    ('xattr: setxattr("file", "system.posix_acl_access", ACCESS, sizeof ACCESS - 1, 0)', "ok", "EOPNOTSUPP"),
    # A file without a name is found by nobody but who has it open.
    ('open: open_close(".", O_TMPFILE | O_RDWR, 0600)', "ok", "EOPNOTSUPP"),
    ('gone: stat(".", &found)', "ok", "ESTALE"),
    # The server says whole paths to its kernel.
    ("depth: 30 directories of 200 bytes", "all", "fewer"),
    # FUSE has no word for it.
    ("holes: fallocate(file, FALLOC_FL_COLLAPSE_RANGE, 0, 4096)", "EINVAL", "EOPNOTSUPP"),
}
