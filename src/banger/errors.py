"""The one error type that crosses rooms, and the table of its codes.

    Error(code, message, hint)

Where the code of an error decides what comes next, the code has a type: `Error(...)` with that code is of that type, so
`except` tells errors apart. Each code has an HTTP status and an exit code here and an entry in docs/errors.md; a test
holds the three together. Lower libraries' errors are mapped to these at a room's edge with `from exc`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Self


class Error(Exception):
    """A failure that has a name.

    `code` is stable and machine-readable, `message` is one line for people, `hint` says what to
    do about it (may be empty), `details` is JSON-ready data for programs.
    """

    _of_code: ClassVar[dict[str, type[Error]]] = {}

    def __init_subclass__(cls, codes: tuple[str, ...] = ()) -> None:
        Error._of_code.update(dict.fromkeys(codes, cls))

    def __new__(cls, code: str, *_: object, **__: object) -> Self:
        kind = Error._of_code.get(code, cls) if cls is Error else cls
        return super().__new__(kind)  # type: ignore[return-value]  # of a subclass, if `cls` is Error

    def __init__(
        self, code: str, message: str, hint: str = "", details: dict[str, object] | None = None
    ) -> None:
        if code not in CODES:
            raise ValueError(f"unknown error code {code!r}")
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.details = details or {}

    @property
    def http_status(self) -> int:
        return CODES[self.code][0]

    @property
    def exit_code(self) -> int:
        return CODES[self.code][1]

    def as_dict(self) -> dict[str, object]:
        """The API's form: `{"code", "message", "hint", "details"}`."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "details": self.details,
        }

    @classmethod
    def from_dict(cls, data: dict[str, object]) -> Error:
        """Read the API's form; a code of a newer daemon becomes `internal`."""
        code = str(data.get("code", "internal"))
        details = data.get("details")
        return cls(
            code if code in CODES else "internal",
            str(data.get("message", "")),
            str(data.get("hint", "")),
            details if isinstance(details, dict) else None,
        )


class AgentError(Error, codes=("agent_error",)):
    """The agent refused a request, or sent invalid data."""


class AgentGone(Error, codes=("agent_lost",)):
    """The session with an agent has ended, or the agent does not answer."""


class AgentRestarted(AgentGone, codes=("agent_restarted",)):
    """The agent was killed, and another one runs."""


class AgentSilent(AgentGone, codes=("agent_silent",)):
    """The agent did not answer in time."""


class BadConfig(Error, codes=("bad_config",)):
    """A file of the configuration cannot be used."""


class BadReference(Error, codes=("bad_reference",)):
    """A reference of an image cannot be parsed."""


class BootFailure(Error, codes=("boot_failed", "boot_timeout", "kernel_panic")):
    """A guest did not come up; its console says more."""


class BadState(Error, codes=("bad_state",)):
    """A machine is not in a state in which this can be done."""


class BuildFailed(Error, codes=("build_failed",)):
    """A Dockerfile was not built."""


class BundleInvalid(Error, codes=("bundle_invalid",)):
    """A bundle is malformed."""


class Cancelled(Error, codes=("cancelled",)):
    """The work was cancelled."""


class CommandFailed(Error, codes=("command_failed",)):
    """A command in a machine ended with an exit code other than 0, which its caller does not accept."""


class CommandMissing(Error, codes=("command_not_found", "command_not_executable")):
    """A machine does not have the program, or may not execute it."""


class DaemonLost(Error, codes=("daemon_unreachable", "daemon_start_failed")):
    """No daemon answers, or it ended before its answer was complete."""


class FrozenDamaged(Error, codes=("frozen_damaged",)):
    """Files of a frozen machine are damaged."""


class ImageInvalid(Error, codes=("image_invalid",)):
    """An image, an archive or a manifest is malformed."""


class LayerRefused(Error, codes=("layer_refused",)):
    """A layer has an entry that cannot be."""


class NameTaken(Error, codes=("name_taken",)):
    """The name belongs to something else."""


class NoSpace(Error, codes=("insufficient_disk",)):
    """A disk is full."""


class NoSuchFile(Error, codes=("file_not_found",)):
    """Nothing is at a path."""


class NoSuchImage(Error, codes=("image_not_found",)):
    """No image has the name, or an archive has no such image."""


class NoSuchPlatform(NoSuchImage, codes=("platform_not_found",)):
    """An image is not for this host, or not for the platform that was asked for."""


class NoSuchKernel(Error, codes=("kernel_not_found",)):
    """No kernel has the name."""


class NoSuchNetwork(Error, codes=("network_not_found",)):
    """No network has the name."""


class NoSuchSecret(Error, codes=("secret_not_found",)):
    """No secret has the name."""


class NoSuchMachine(Error, codes=("machine_not_found",)):
    """No machine has the name."""


class NoSuchProject(Error, codes=("project_not_found",)):
    """There is no Compose file, or no project of the name."""


class NoSuchVolume(Error, codes=("volume_not_found",)):
    """No volume has the name."""


class RegistryBusy(Error, codes=("registry_busy",)):
    """A registry asks to come back later."""


class RegistryDenied(Error, codes=("registry_denied",)):
    """A registry does not allow access."""


class TimedOut(Error, codes=("timeout",)):
    """Something took longer than it may."""


class ToolFailed(Error, codes=("tool_failed",)):
    """A program of the host ended with a failure."""


class ToolMissing(Error, codes=("tool_missing",)):
    """A program is not installed."""


class Unsupported(Error, codes=("unsupported",)):
    """Something that this host, driver or kernel cannot do."""


class VmmFailed(Error, codes=("vmm_failed",)):
    """A VMM ended, or refused a command."""


# code: (HTTP status, exit code of the CLI). 125 is "banger itself failed", 126 and 127 as
# Docker and the shells use them, 124 as timeout(1) does.
CODES: dict[str, tuple[int, int]] = {
    "bad_request": (400, 2),
    "bad_size": (400, 2),
    "bad_name": (400, 2),
    "bad_spec": (400, 2),
    "bad_mount": (422, 125),
    "bad_reference": (400, 2),
    "bad_config": (422, 125),
    "not_found": (404, 125),
    "machine_not_found": (404, 125),
    "image_not_found": (404, 125),
    "platform_not_found": (404, 125),
    "kernel_not_found": (404, 125),
    "catalog_not_found": (404, 125),
    "operation_not_found": (404, 125),
    "template_not_found": (404, 125),
    "snapshot_not_found": (404, 125),
    "exec_not_found": (404, 125),
    "network_not_found": (404, 125),
    "secret_not_found": (404, 125),
    "volume_not_found": (404, 125),
    "not_permitted": (403, 125),
    "not_logged_in": (401, 125),
    "origin_refused": (403, 125),
    "too_many_tries": (429, 125),
    "too_many_tokens": (409, 125),
    "token_not_found": (404, 125),
    "too_many_secrets": (409, 125),
    "listen_failed": (409, 125),
    "method_not_allowed": (405, 125),
    "name_taken": (409, 125),
    "bad_state": (409, 125),
    "in_use": (409, 125),
    "not_released": (500, 125),
    "idempotency_conflict": (409, 125),
    "cancelled": (409, 130),
    "payload_too_large": (413, 125),
    "head_too_large": (431, 125),
    "head_timeout": (408, 125),
    "too_many_connections": (503, 125),
    "too_many_operations": (503, 125),
    "command_not_found": (422, 127),
    "command_not_executable": (422, 126),
    "command_failed": (422, 1),
    "user_not_found": (422, 125),
    "bad_working_directory": (422, 125),
    "file_not_found": (404, 1),
    "archive_invalid": (422, 125),
    "accelerator_unavailable": (422, 125),
    "timeout": (504, 124),
    "boot_timeout": (504, 125),
    "boot_failed": (500, 125),
    "kernel_panic": (500, 125),
    "agent_lost": (502, 125),
    "agent_restarted": (502, 125),
    "agent_silent": (504, 125),
    "agent_error": (502, 125),
    "vmm_failed": (502, 125),
    "vmm_not_found": (503, 125),
    "driver_not_found": (404, 125),
    "jail_failed": (500, 125),
    "tool_missing": (503, 125),
    "tool_failed": (500, 125),
    "insufficient_memory": (507, 125),
    "insufficient_disk": (507, 125),
    "confinement_missing": (422, 125),
    "limit_unenforceable": (422, 125),
    "network_unenforceable": (422, 125),
    "network_failed": (500, 125),
    "network_full": (409, 125),
    "port_in_use": (409, 125),
    "port_refused": (502, 125),
    "compose_invalid": (422, 125),
    "project_not_found": (404, 125),
    "service_not_found": (404, 125),
    "dependency_failed": (422, 125),
    "download_failed": (502, 125),
    "registry_denied": (403, 125),
    "registry_busy": (429, 125),
    "registry_error": (502, 125),
    "tls_failed": (502, 125),
    "credentials_error": (500, 125),
    "image_invalid": (422, 125),
    "image_build_failed": (500, 125),
    "build_failed": (422, 1),
    "layer_corrupt": (502, 125),
    "layer_refused": (422, 125),
    "layer_too_large": (422, 125),
    "kernel_invalid": (500, 125),
    "catalog_invalid": (422, 125),
    "catalog_untrusted": (422, 125),
    "catalog_rolled_back": (422, 125),
    "catalog_expired": (422, 125),
    "bundle_invalid": (422, 125),
    "frozen_damaged": (500, 125),
    "snapshot_invalid": (422, 125),
    "snapshot_incompatible": (422, 125),
    "secret_damaged": (500, 125),
    "secret_key_lost": (500, 125),
    "volume_invalid": (422, 125),
    "store_damaged": (500, 125),
    "store_failed": (500, 125),
    "store_too_new": (500, 125),
    "unsupported": (501, 125),
    "daemon_unreachable": (503, 125),
    "daemon_start_failed": (503, 125),
    "internal": (500, 125),
}
