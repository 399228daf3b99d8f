"""What scripts get: one object, one line a record, or rows; all fields, or those they named."""

import csv
import io
import json
from collections.abc import Iterator

import pytest
import typer

from runtime.cli import choosing, output, records
from runtime.cli.outcome import Stop
from runtime.cli.output import Format, Output

DATA = {
    "rows": [
        {"name": 'São João, "o bom"\nE outro', "lag": 3, "ok": True, "parts": [{"at": 1}], "why": None},
        {"name": "=1+1", "lag": 0, "ok": False, "parts": [], "why": "x", "more": 1.5},
    ]
}


@pytest.fixture(autouse=True)
def all_fields() -> Iterator[None]:
    yield
    records.choose(None)


def said(capsys: pytest.CaptureFixture[str], output_format: Format) -> str:
    output.answer(
        output_format,
        "some.rows",
        DATA,
        show=lambda: None,
        records="rows",
        diagnostics=[output.warning("late", "it is late")],
    )
    return capsys.readouterr().out


def test_csv_has_a_head_and_every_value(capsys: pytest.CaptureFixture[str]) -> None:
    head, first, second = csv.reader(io.StringIO(said(capsys, Format.CSV)))
    assert head == ["name", "lag", "ok", "parts", "why", "more"]
    assert first == [DATA["rows"][0]["name"], "3", "true", '[{"at": 1}]', "", ""]
    assert second == ["=1+1", "0", "false", "[]", "x", "1.5"]


def test_csv_of_one_thing_is_one_row(capsys: pytest.CaptureFixture[str]) -> None:
    output.answer(Format.CSV, "one", {"id": "a", "size": 2}, show=lambda: None)
    assert capsys.readouterr().out == "id,size\na,2\n"


def test_nothing_found_is_no_row(capsys: pytest.CaptureFixture[str]) -> None:
    for fields, head in ((None, ""), (["a", "b"], "a,b\n")):
        records.choose(fields)
        output.answer(Format.CSV, "none", {"rows": []}, show=lambda: None, records="rows")
        assert capsys.readouterr().out == head


def test_fields_are_chosen_in_every_form(capsys: pytest.CaptureFixture[str]) -> None:
    records.choose(["lag", "why", "lag"])
    whole = json.loads(said(capsys, Format.JSON))
    assert whole["data"] == {"rows": [{"lag": 3, "why": None}, {"lag": 0, "why": "x"}]}
    assert whole["diagnostics"][0]["code"] == "late"
    assert [json.loads(line) for line in said(capsys, Format.JSONL).splitlines()] == whole["data"]["rows"]
    assert said(capsys, Format.CSV) == "lag,why\n3,\n0,x\n"


def test_a_field_there_is_none_of_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    records.choose(["lag", "nope"])
    with pytest.raises(Stop, match="nope") as stopped:
        said(capsys, Format.JSON)
    assert "lag" in (stopped.value.hint or "")
    assert capsys.readouterr().out == ""


def test_a_command_with_data_can_be_asked_for_fields(capsys: pytest.CaptureFixture[str]) -> None:
    app = typer.Typer(add_completion=False)

    @app.command()
    def show(output_format: Output = Format.TABLE) -> None:
        output.answer(output_format, "show", DATA, show=lambda: output.line("table"), records="rows")

    choosing.offer(app)

    def run(*arguments: str) -> str:
        app(args=list(arguments), standalone_mode=False)
        return capsys.readouterr().out

    assert run() == "table\n"
    assert json.loads(run("--json", "lag"))["data"] == {"rows": [{"lag": 3}, {"lag": 0}]}
    assert run("-o", "jsonl", "--json", "lag") == '{"lag": 3}\n{"lag": 0}\n'
    assert run() == "table\n"
