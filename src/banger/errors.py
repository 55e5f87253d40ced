"""The one error type that crosses rooms, and the table of its codes.

    Error(code, message, hint)

Each code has an HTTP status and an exit code here and an entry in docs/errors.md; a test holds the three
together. Lower libraries' errors are mapped to these at a room's edge with `from exc`.
"""

from __future__ import annotations


class Error(Exception):
    """A failure that has a name.

    `code` is stable and machine-readable, `message` is one line for people, `hint` says what to
    do about it (may be empty), `details` is JSON-ready data for programs.
    """

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


# code: (HTTP status, exit code of the CLI). 125 is "banger itself failed", 126 and 127 as
# Docker and the shells use them, 124 as timeout(1) does.
CODES: dict[str, tuple[int, int]] = {
    "bad_request": (400, 2),
    "bad_size": (400, 2),
    "bad_name": (400, 2),
    "bad_spec": (400, 2),
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
    "not_permitted": (403, 125),
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
    "tool_missing": (503, 125),
    "tool_failed": (500, 125),
    "insufficient_memory": (507, 125),
    "insufficient_disk": (507, 125),
    "limit_unenforceable": (422, 125),
    "download_failed": (502, 125),
    "registry_denied": (403, 125),
    "registry_busy": (429, 125),
    "registry_error": (502, 125),
    "tls_failed": (502, 125),
    "credentials_error": (500, 125),
    "image_invalid": (422, 125),
    "image_build_failed": (500, 125),
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
    "store_damaged": (500, 125),
    "store_failed": (500, 125),
    "store_too_new": (500, 125),
    "unsupported": (501, 125),
    "daemon_unreachable": (503, 125),
    "daemon_start_failed": (503, 125),
    "internal": (500, 125),
}
