"""What a machine does with secrets: the words of --secret, the checks of a spec, and what an agent is told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from banger.cli.secret_words import read_secrets
from banger.errors import Error
from banger.guests.secrets import plan_secret
from banger.machines.life.main_command import plan_command, plan_exec
from banger.machines.life.secrets import check_secrets, refuse_secret_memory
from banger.model.command import Command, Surroundings
from banger.model.image import ImageConfig
from banger.model.machine import Machine, MachineSpec, MachineState
from banger.model.mount import Mount
from banger.model.secret import SecretUse
from banger.model.volume import VolumeMount
from banger.wire.constants import Tag


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("db", {"name": "db"}),
        ("db=file", {"name": "db", "kind": "file"}),
        ("db=file:/etc/a:b", {"name": "db", "kind": "file", "target": "/etc/a:b"}),
        ("db=env", {"name": "db", "kind": "env"}),
        ("db=env:PGPASSWORD", {"name": "db", "kind": "env", "target": "PGPASSWORD"}),
        ("db,type=env,target=PW", {"name": "db", "kind": "env", "target": "PW"}),
        (
            "source=db,target=/k,uid=7,gid=8,mode=0440",
            {"name": "db", "kind": "file", "target": "/k", "uid": 7, "gid": 8, "mode": 0o440},
        ),
        ("src=db,type=mount,dst=k,mode=444", {"name": "db", "kind": "file", "target": "k", "mode": 0o444}),
    ],
)
def test_words_say_how_a_secret_is_used(word: str, expected: dict[str, Any]) -> None:
    assert read_secrets([word]) == [expected]
    msgspec.convert(expected, SecretUse)


@pytest.mark.parametrize(
    "word",
    [
        *("", "=env", "db=", "db=CANARY", "db=env:", "db=CANARY:X", "db=file:", "db=ENV:CANARY"),
        *("db,CANARY", "db,type=CANARY", "db,mode=CANARY", "db,uid=CANARY", "db,value=CANARY", "type=env,a"),
    ],
)
def test_other_words_are_refused_and_not_repeated(word: str) -> None:
    with pytest.raises(Error) as caught:
        read_secrets([word])
    assert caught.value.code == "bad_spec" and caught.value.hint
    assert "CANARY" not in str(caught.value.as_dict())


def spec(*uses: SecretUse, **fields: Any) -> MachineSpec:
    return MachineSpec(image="debian", secrets=[*uses], **fields)


@pytest.mark.parametrize(
    ("uses", "words"),
    [
        ([SecretUse(name="a-b", kind="env")], "needs a name of letters"),
        ([SecretUse(name="a", kind="env", target="1")], "needs a name of letters"),
        ([SecretUse(name="a", kind="env", target="A=B")], "needs a name of letters"),
        ([SecretUse(name="a", target="../b")], "not that of a file"),
        ([SecretUse(name="a", target="/b/")], "not that of a file"),
        ([SecretUse(name="a", target="/")], "not that of a file"),
        ([SecretUse(name="a", target="/a//b")], "not that of a file"),
        ([SecretUse(name="a", target="/" + "x" * 600)], "not that of a file"),
        ([SecretUse(name="a", target=".variables")], "files of its own"),
        ([SecretUse(name="a", target="/proc/1/x")], "no secret can be there"),
        ([SecretUse(name="a", target="/dev/x")], "no secret can be there"),
        ([SecretUse(name="a"), SecretUse(name="b", target="a")], "given twice"),
        ([SecretUse(name="a"), SecretUse(name="a")], "given twice"),
        ([SecretUse(name="a", kind="env"), SecretUse(name="b", kind="env", target="a")], "given twice"),
    ],
)
def test_uses_that_cannot_be_are_refused(uses: list[SecretUse], words: str) -> None:
    with pytest.raises(Error, match=words) as caught:
        check_secrets(spec(*uses))
    assert caught.value.code == "bad_spec" and caught.value.hint


def test_nothing_else_is_mounted_where_secrets_are() -> None:
    use = SecretUse(name="a")
    for fields in (
        {"tmpfs": ["/run/secrets:size=1m"]},
        {"mounts": [Mount(source="/a", target="/run/secrets/x/")]},
        {"volumes": [VolumeMount(volume="data", target="/run/secrets")]},
    ):
        with pytest.raises(Error, match="nothing else can be mounted"):
            check_secrets(spec(use, **fields))
        check_secrets(spec(**fields))
    check_secrets(spec(use, tmpfs=["/run:size=1m", "/run/secretsx"]))


def test_a_variable_is_either_a_secret_or_given() -> None:
    use = SecretUse(name="a", kind="env", target="A")
    with pytest.raises(Error, match="A is given twice"):
        check_secrets(spec(use, command=Command(env={"A": "b"})))
    check_secrets(spec(use, SecretUse(name="a"), SecretUse(name="a", target="/etc/a"), command=Command()))


def test_an_agent_is_told_a_file_with_its_owner_and_mode() -> None:
    told = plan_secret(SecretUse(name="db"), b"\0\n", "app:web")
    assert [*told] == [
        (Tag.TARGET, "/run/secrets/db"),
        (Tag.FILE_MODE, 0o400),
        (Tag.USER, "app:web"),
        (Tag.SECRET, b"\0\n"),
    ]


@pytest.mark.parametrize(
    ("user", "uid", "gid", "owner"),
    [
        ("", None, None, "0"),
        ("app", None, None, "app"),
        ("app", 7, None, "7"),
        ("app", 7, 8, "7:8"),
        ("app:web", None, 8, "app:8"),
        ("app:web", 7, None, "7"),
        ("", None, 8, "0:8"),
    ],
)
def test_the_owner_is_the_user_of_the_command_or_whom_the_use_names(
    user: str, uid: int | None, gid: int | None, owner: str
) -> None:
    assert (Tag.USER, owner) in plan_secret(SecretUse(name="db", uid=uid, gid=gid), b"", user)


def test_an_agent_is_told_a_variable_as_it_is() -> None:
    told = plan_secret(SecretUse(name="db", kind="env", target="PW"), b"a=b\n\xff", "app")
    assert [*told] == [(Tag.ENV, b"PW=a=b\n\xff")]


def test_a_secret_hides_the_image_s_variable_and_an_exec_may_set_it() -> None:
    config = ImageConfig(env=["TOKEN=of the image", "A=b"], cmd=["true"])
    main = plan_command(None, config, ["TOKEN"])
    assert main is not None and main.env == {"A": "b"}
    machine = Machine(
        id="m",
        name="m",
        state=MachineState.RUNNING,
        spec=spec(SecretUse(name="db", kind="env", target="TOKEN")),
        created="",
        surroundings=Surroundings(env={"TOKEN": "of the image", "A": "b"}),
    )
    assert plan_exec(Command(), machine).env == {"A": "b"}
    assert plan_exec(Command(env={"TOKEN": "mine"}), machine).env == {"A": "b", "TOKEN": "mine"}


def test_memory_with_secrets_is_copied_only_if_asked() -> None:
    machine = Machine(
        id="m", name="m", state=MachineState.RUNNING, spec=spec(SecretUse(name="a")), created=""
    )
    with pytest.raises(Error, match="secrets in its memory") as caught:
        refuse_secret_memory(machine)
    assert caught.value.code == "unsupported" and "--with-secrets" in caught.value.hint
    refuse_secret_memory(machine, asked=True)
