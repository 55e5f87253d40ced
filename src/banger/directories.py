"""Directories that must belong to this user alone: checked from the root down, with each link on the way, and made if
they do not exist.

A user who may rename or replace a part of a path decides what is at its end. So each directory on the way must belong
to root or to this user, and no other user may write to it, unless it is sticky; a link must belong to root or to this
user. A group may have write permission if this user is its only member.
"""

from __future__ import annotations

import os
import stat

from banger.errors import Error

_MOST_LINKS = 40


def ensure_private_directory(path: str) -> None:
    """Make `path` and its missing parents with mode 0700, or check that it belongs to this user and that no other user
    may change it. Raises `daemon_unreachable`."""
    found = _descend(path, make=True)
    if os.path.islink(path):
        raise _refuse(path, "is not a directory", _OTHER_PLACE)
    info = os.stat(found)
    if info.st_uid != os.geteuid():
        raise _refuse(found, "belongs to another user", _OTHER_PLACE)
    if info.st_mode & 0o077:
        try:
            os.chmod(found, 0o700)
        except OSError as exc:
            raise _cannot("change the mode of", found, exc) from exc


def ensure_own_directory(path: str) -> None:
    """As `ensure_private_directory`, for a directory that stays between starts: if others could write to it, its
    contents may be theirs, so removing the permission would not be enough."""
    found = _descend(path, make=True)
    info = os.stat(found)
    if info.st_uid != os.geteuid():
        raise _refuse(found, "belongs to another user", _OTHER_PLACE)
    if not os.access(found, os.R_OK | os.W_OK | os.X_OK):
        raise _refuse(found, "is not writable", f"chmod u+rwx {found}")


def check_trusted_directory(path: str) -> None:
    """Check a directory that is only read: it, or the part of its path that exists, must belong to this user or root.
    Raises `daemon_unreachable`."""
    _descend(path, make=False)


def why_refused(path: str) -> str:
    """The message with which `path` would be refused; empty if it is all right, or can be made. Changes nothing."""
    try:
        found = _descend(path, make=False)
    except Error as exc:
        return exc.message
    if not os.access(found, os.W_OK | os.X_OK):
        return f"{found} is not writable"
    is_whole = os.path.realpath(path) == os.path.realpath(found)
    return f"{found} belongs to another user" if is_whole and os.stat(found).st_uid != os.geteuid() else ""


def _descend(path: str, make: bool) -> str:
    """The directory to which `path` leads, with no link in it. Without `make`, only as far as it exists."""
    done, names, links = "/", _parts(os.path.abspath(path)), 0
    _check_directory(done)
    while names:
        here = os.path.join(done, names[0])
        try:
            info = os.lstat(here)
        except FileNotFoundError:
            if not make:
                return done
            _make(here)
            continue
        except OSError as exc:
            raise _cannot("access", here, exc) from exc
        del names[0]
        if stat.S_ISLNK(info.st_mode):
            links += 1
            if info.st_uid not in (0, os.geteuid()) or links > _MOST_LINKS:
                raise _refuse(here, "is a symbolic link that another user made", _OTHER_PLACE)
            target = os.readlink(here)
            done = "/" if target.startswith("/") else done
            names = [*_parts(target), *names]
            continue
        done = os.path.dirname(done) if here.endswith("/..") else here
        _check_directory(done)
    return done


def _parts(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]


def _check_directory(path: str) -> None:
    try:
        info = os.lstat(path)
    except OSError as exc:
        raise _cannot("access", path, exc) from exc
    if not stat.S_ISDIR(info.st_mode):
        raise _refuse(path, "is not a directory", _OTHER_PLACE)
    if info.st_uid not in (0, os.geteuid()):
        raise _refuse(path, "belongs to another user", _OTHER_PLACE)
    if info.st_mode & stat.S_ISVTX:
        return
    if info.st_mode & stat.S_IWOTH:
        raise _refuse(path, "is writable for all users", f"chmod o-w {path}, or {_OTHER_PLACE}")
    if info.st_mode & stat.S_IWGRP and not _is_private_group(info.st_gid):
        raise _refuse(path, "is writable for a group of users", f"chmod g-w {path}, or {_OTHER_PLACE}")


def _is_private_group(group: int) -> bool:
    """Whether a group has no other member: it has this user's name, or the user's number if neither has a name. Root's
    group counts, too."""
    if group == 0:
        return True
    import grp
    import pwd

    try:
        entry = grp.getgrgid(group)
    except KeyError:
        return group == os.geteuid()
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return False
    return entry.gr_name == user and set(entry.gr_mem) <= {user}


def _make(path: str) -> None:
    try:
        os.mkdir(path, mode=0o700)
    except FileExistsError:
        pass
    except OSError as exc:
        raise _cannot("create", path, exc) from exc


_OTHER_PLACE = "set BANGER_HOME to a directory that only you can write to"


def _cannot(verb: str, path: str, exc: OSError) -> Error:
    return Error("daemon_unreachable", f"cannot {verb} {path}: {exc.strerror}", _OTHER_PLACE)


def _refuse(path: str, why: str, hint: str) -> Error:
    return Error("daemon_unreachable", f"{path} {why}", hint)
