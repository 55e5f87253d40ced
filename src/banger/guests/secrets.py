"""Secrets on their way into a guest: requests to its agent, which are the only place outside the daemon where a value
is."""

from __future__ import annotations

from banger.agent.connection import AgentConnection, FieldList
from banger.model.secret import SecretUse
from banger.wire.constants import Tag, Type

_GIVE_S = 30.0


async def give(connection: AgentConnection, use: SecretUse, value: bytes, user: str) -> None:
    """Let the agent keep the secret in the guest's memory. `user`: to whom a file belongs, as the image writes users.
    Raises `agent_error`, `user_not_found`, `agent_lost`, `agent_silent`."""
    await connection.request(Type.SECRET, plan_secret(use, value, user), _GIVE_S)


def plan_secret(use: SecretUse, value: bytes, user: str) -> FieldList:
    """The fields of a SECRET request."""
    if use.kind == "env":
        yield Tag.ENV, b"%b=%b" % (use.variable.encode(), value)
        return
    yield Tag.TARGET, use.path
    yield Tag.FILE_MODE, use.mode
    yield Tag.USER, _owner(use, user)
    yield Tag.SECRET, value


def _owner(use: SecretUse, user: str) -> str:
    """The user of the command, or what is asked for in its place."""
    name, _, group = user.partition(":")
    owner = name or "0" if use.uid is None else str(use.uid)
    if use.gid is not None:
        return f"{owner}:{use.gid}"
    return f"{owner}:{group}" if group and use.uid is None else owner
