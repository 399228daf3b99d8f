"""Every command that answers with JSON has promised its shape; `Installation.run` holds each answer to it."""

import inspect
import json
from collections.abc import Iterator

import jsonschema_rs
import pytest
import typer

from runtime.cli.outcome import Exit
from runtime.cli.program import app, run
from runtime.cli.schema import known, text_of


def commands(tree: typer.Typer, path: tuple[str, ...] = ()) -> Iterator[str]:
    for command in tree.registered_commands:
        assert command.callback is not None
        if "output_format" in inspect.signature(command.callback).parameters:
            yield ".".join((*path, command.name or command.callback.__name__.rstrip("_")))
    for group in tree.registered_groups:
        assert group.typer_instance is not None
        yield from commands(group.typer_instance, (*path, str(group.typer_instance.info.name)))


def test_every_command_has_one_and_every_one_a_command() -> None:
    assert known() == sorted(commands(app))


@pytest.mark.parametrize("command", known())
def test_it_is_a_schema_and_refuses_what_is_no_answer(command: str) -> None:
    schema = json.loads(text_of(command))
    jsonschema_rs.meta.validate(schema)
    validator = jsonschema_rs.validator_for(schema)
    wrong: tuple[object, ...] = ([], 1, {"schema": "ccontrol.cli/v1", "command": "other", "ok": True})
    assert not any(validator.is_valid(each) for each in wrong)


def test_a_refusal_has_the_shape_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["projections", "status", "--max-lag", "soon", "-o", "json"]) == Exit.USAGE
    schema = json.loads(text_of("projections.status"))
    jsonschema_rs.validator_for(schema).validate(json.loads(capsys.readouterr().out))


def test_it_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema"]) == Exit.DONE
    assert "projections status\n" in capsys.readouterr().out
    assert run(["schema", "projections", "status"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out)["title"] == "ccontrol projections status -o json"
    assert run(["schema", "no", "such"]) == Exit.NOT_FOUND
