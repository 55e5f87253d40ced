"""Which variables of an environment each program gets. These are lists of allowed names, never of forbidden ones: an
environment contains secrets under names that no list can foresee.

    the shell ── for_daemon ──▶ daemon ── for_helpers ─────────────▶ programs that it runs to their end
                                       ── for_credential_helpers ──▶ programs that keep passwords of registries
                                       ── for_vmms ────────────────▶ VMMs

Paths in variables are made absolute, or left out: these programs do not run in the user's working directory.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

_PROXIES = frozenset(
    {
        *("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"),
        *("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY"),
    }
)
# Lists of directories; directories that depend on the working directory are left out.
_SEARCHED = frozenset({"PATH", "LD_LIBRARY_PATH"})
_XDG = frozenset(
    {
        *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"),
        *("XDG_CONFIG_DIRS", "XDG_DATA_DIRS"),
    }
)
# Where programs that keep passwords find their data; none of these is a secret.
_KEEPERS = frozenset(
    {
        *(
            "DBUS_SESSION_BUS_ADDRESS",
            "GNUPGHOME",
            "PASSWORD_STORE_DIR",
            "DOCKER_CONFIG",
            "REGISTRY_AUTH_FILE",
        ),
        *(
            "AWS_CONFIG_FILE",
            "AWS_SHARED_CREDENTIALS_FILE",
            "AWS_PROFILE",
            "AWS_REGION",
            "AWS_DEFAULT_REGION",
        ),
        *("CLOUDSDK_CONFIG", "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_CONFIG_DIR"),
    }
)
_CERTIFICATES = frozenset({"SSL_CERT_FILE", "SSL_CERT_DIR"})
_BANGER = frozenset(
    {
        *("BANGER_HOME", "BANGER_SOCKET", "BANGER_LOG", "BANGER_DEBIAN_MIRROR", "BANGER_INSECURE_REGISTRIES"),
        *("BANGER_READY_FD", "BANGER_WATCH_LOOP"),
        *("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_CERTIFICATE"),
    }
)
# Sections of config.toml: BANGER_POOL_KEEP is `keep` of `[pool]`. A misspelt one is passed, too: the daemon refuses it.
SETTINGS = tuple(
    f"BANGER_{section}_"
    for section in ("IMAGES", "TEMPLATES", "POOL", "LIMITS", "NETWORK", "WEB", "TRACES", "VMM")
)
_PYTHON = frozenset(
    {
        *(
            "PYTHONHOME",
            "PYTHONPATH",
            "PYTHONUSERBASE",
            "PYTHONNOUSERSITE",
            "PYTHONPYCACHEPREFIX",
            "PYTHONUTF8",
        ),
        *(
            "PYTHONDONTWRITEBYTECODE",
            "PYTHONWARNINGS",
            "PYTHONDEVMODE",
            "PYTHONASYNCIODEBUG",
            "PYTHONTRACEMALLOC",
        ),
    }
)
_LOCALE = frozenset({"LANG", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "TZ"})
_TERMINAL = frozenset({"TERM", "COLUMNS", "LINES", "NO_COLOR", "USER", "LOGNAME"})
_HELPERS = _PROXIES | _SEARCHED | {"HOME", "TMPDIR", "TZ", "APT_CONFIG"}
_CREDENTIAL_HELPERS = _HELPERS | _XDG | _KEEPERS | _CERTIFICATES
_DAEMON = _CREDENTIAL_HELPERS | _BANGER | _PYTHON | _LOCALE
_DOCTOR = _DAEMON | _TERMINAL
_PLACES = frozenset(
    {
        *("BANGER_HOME", "BANGER_SOCKET", "HOME", "TMPDIR", "GNUPGHOME", "PASSWORD_STORE_DIR", "PYTHONHOME"),
        *("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "SSL_CERT_FILE", "SSL_CERT_DIR", "PYTHONUSERBASE"),
        *(
            "AWS_CONFIG_FILE",
            "AWS_SHARED_CREDENTIALS_FILE",
            "CLOUDSDK_CONFIG",
            "GOOGLE_APPLICATION_CREDENTIALS",
        ),
        *("AZURE_CONFIG_DIR", "PYTHONPYCACHEPREFIX", "APT_CONFIG"),
    }
)


def for_daemon(given: Mapping[str, str]) -> dict[str, str]:
    return _only(given, _DAEMON | _settings(given))


def for_doctor(given: Mapping[str, str]) -> dict[str, str]:
    """The variables of the daemon, so that both find the same files, and those of the terminal."""
    return _only(given, _DOCTOR | _settings(given))


def for_helpers(given: Mapping[str, str]) -> dict[str, str]:
    return _only(given, _HELPERS)


def for_credential_helpers(given: Mapping[str, str]) -> dict[str, str]:
    return _only(given, _CREDENTIAL_HELPERS)


def for_vmms(given: Mapping[str, str]) -> dict[str, str]:
    return _only(given, _SEARCHED)


def without_working_directory(given: Mapping[str, str]) -> dict[str, str]:
    """All variables, with places made absolute."""
    return {name: value for name, text in given.items() if (value := _settled(name, text)) or not text}


def _settings(given: Mapping[str, str]) -> frozenset[str]:
    return frozenset(name for name in given if name.startswith(SETTINGS))


def _only(given: Mapping[str, str], names: frozenset[str]) -> dict[str, str]:
    return without_working_directory({name: given[name] for name in names & given.keys()})


def _settled(name: str, value: str) -> str:
    """The value for a process in another working directory; empty if it would mean nothing there."""
    if name in _SEARCHED:
        return os.pathsep.join(entry for entry in value.split(os.pathsep) if entry.startswith("/"))
    if name == "PYTHONPATH":
        return os.pathsep.join(_code_places(value))
    return absolute(value) if name in _PLACES and value else value


def _code_places(value: str) -> list[str]:
    """The absolute directories of PYTHONPATH. Relative directories with a name were meant, but not the working
    directory (an empty entry or a dot): it would be searched wherever the user is, for files of any user."""
    found = []
    for entry in value.split(os.pathsep):
        place = absolute(entry) if entry else ""
        if place and (entry.startswith("/") or place != absolute(".")):
            found.append(place)
    return found


def absolute(path: str) -> str:
    """The absolute path; empty for a relative path if the working directory does not exist any more."""
    try:
        return os.path.abspath(path)
    except OSError:
        return ""
