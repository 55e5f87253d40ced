"""Directories that must be ours alone: looked at from the root down, each link on the way, and made where missing.

Whoever may rename or replace any part of a path decides what is found at its end. So each directory on the way belongs
to root or to us, and nobody else may write to it, unless it is sticky; and where it is, a link in it is root's or ours.
A group may write if it has no other member than us.
"""

from __future__ import annotations

import os
import stat

from banger.errors import Error

_MOST_LINKS = 40


def ensure_private_directory(path: str) -> None:
    """Make `path` and its missing parents with mode 0700, or check that it is ours and that nobody else may change it.
    Raises `daemon_unreachable`."""
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
    """As `ensure_private_directory`, for one that was kept between starts: what others could write to may hold what
    others wrote, so it is not just closed."""
    found = _descend(path, make=True)
    info = os.stat(found)
    if info.st_uid != os.geteuid():
        raise _refuse(found, "belongs to another user", _OTHER_PLACE)
    if not os.access(found, os.R_OK | os.W_OK | os.X_OK):
        raise _refuse(found, "is not writable", f"chmod u+rwx {found}")


def check_trusted_directory(path: str) -> None:
    """One that is read and never made: it, or what is there of its parents, is ours or root's. Raises
    `daemon_unreachable`."""
    _descend(path, make=False)


def why_refused(path: str) -> str:
    """What would be said of `path`, which is not changed; nothing when all is well, or can be made."""
    try:
        found = _descend(path, make=False)
    except Error as exc:
        return exc.message
    if not os.access(found, os.W_OK | os.X_OK):
        return f"{found} is not writable"
    is_whole = os.path.realpath(path) == os.path.realpath(found)
    return f"{found} belongs to another user" if is_whole and os.stat(found).st_uid != os.geteuid() else ""


def _descend(path: str, make: bool) -> str:
    """Where `path` leads, without a link; without `make`, as far as it is there."""
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
    """A group of one: it has our name, or our number where neither has a name, and no other member. Root's counts."""
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
