"""The numbers of docs/protocol.md."""

from __future__ import annotations

from enum import IntEnum

MAGIC = 0xBA6E
VERSION = 1
PORT_NAME = "banger.agent"
PORT_NAME_SHARES = "banger.shares"
MAX_PAYLOAD = 262144
MAX_DATA = 65536
WINDOW = 262144
# The most bytes in a request to an agent that accepts requests in pieces.
MAX_REQUEST = 4 * 1024 * 1024
RESYNC_PAD = MAX_PAYLOAD + 16


class Type(IntEnum):
    """Frame types."""

    HELLO = 0x01
    WELCOME = 0x02
    OK = 0x03
    FAIL = 0x04
    EVENT = 0x05
    RESTARTED = 0x06
    PING = 0x20
    CONFIGURE = 0x21
    EXEC = 0x22
    SIGNAL = 0x23
    RESIZE = 0x24
    EXECS = 0x25
    ATTACH = 0x26
    FORGET = 0x27
    STATS = 0x28
    PORTS = 0x29
    HEALTH = 0x2A
    SHUTDOWN = 0x2B
    GROW = 0x2C
    FREEZE = 0x2D
    THAW = 0x2E
    REFRESH = 0x2F
    MORE = 0x30
    DIAL = 0x31
    SHARE = 0x32
    DATA = 0x40
    EOF = 0x41
    CREDIT = 0x42
    EXIT = 0x43


class Tag(IntEnum):
    """Field tags."""

    VERSION_MIN = 1
    VERSION_MAX = 2
    VERSION = 3
    NONCE = 4
    AGENT = 5
    BOOT = 6
    STATE = 7
    KERNEL = 8
    UPTIME_MS = 9
    REQUEST_MAX = 10
    CODE = 16
    ERRNO = 17
    MESSAGE = 18
    HOSTNAME = 32
    MACHINE_ID = 33
    CLOCK_NS = 34
    ENTROPY = 35
    ADDRESS = 36
    GATEWAY = 37
    DNS = 38
    MAC = 39
    INIT = 40
    GROW = 41
    MTU = 42
    PHASE = 43
    BOOT_ID = 44
    DISK_BYTES = 45
    RESET_TCP = 46
    IPV6 = 47
    ARGV = 48
    ENV = 49
    CWD = 50
    USER = 51
    TTY = 52
    ROWS = 53
    COLS = 54
    STDIN = 55
    TIMEOUT_MS = 56
    APPLET = 57
    PID = 58
    EXEC = 59
    SIGNAL = 60
    EXIT_CODE = 61
    EXIT_SIGNAL = 62
    TIMED_OUT = 63
    OFFSET = 64
    RUNNING = 65
    LABEL = 66
    MAKE_CWD = 67
    FILE = 80
    PORT = 81
    INIT_NAME = 82
    MODE = 83
    GRACE_MS = 84
    BLOCKS = 85
    EXECS = 86
    ROOT_READ_ONLY = 87
    AWAIT_LINK = 88
    SESSION = 96
    PROCESS_1 = 97
    DIAL_PORT = 98
    TARGET = 99
    SHARE_FLAGS = 100
    TMPFS = 101
    PROTECT_ROOT = 102
    RLIMIT = 103
    RANDOMIZE = 104


class ShareFlag(IntEnum):
    """Bits of SHARE_FLAGS."""

    READ_ONLY = 1
    IS_FILE = 2


class AppletExit(IntEnum):
    """Exit codes of applets that say more than that they failed."""

    TAR_BROKEN = 3
    PATH_MISSING = 4


STDIN, STDOUT, STDERR = 0, 1, 2
