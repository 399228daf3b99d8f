"""Records for scripts: one JSON line each, or rows of CSV; all of their fields, or those that were chosen."""

import csv
import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from runtime.cli.outcome import usage

Record = Mapping[str, Any]

_chosen: ContextVar[tuple[str, ...] | None] = ContextVar("chosen", default=None)


def choose(fields: Sequence[str] | None) -> None:
    """From now on answer with these fields only, in this order; None: with all."""
    _chosen.set(None if fields is None else tuple(dict.fromkeys(fields)))


def choice() -> tuple[str, ...] | None:
    """The fields that were chosen."""
    return _chosen.get()


def picked(records: Sequence[Record]) -> list[Record]:
    """What is to be answered of them; a field that none of them has is a mistake."""
    fields = _chosen.get()
    if fields is None:
        return list(records)
    known = _columns(records)
    unknown = [name for name in fields if name not in known]
    if unknown and records:
        raise usage(f"there is no field {', '.join(unknown)}", f"there are: {', '.join(known)}")
    return [{name: record.get(name) for name in fields} for record in records]


class Lines:
    """Writes records as they come; the columns of CSV are those of the first ones."""

    def __init__(self, *, as_csv: bool) -> None:
        self._as_csv = as_csv
        self._columns: list[str] | None = None

    def write(self, records: Sequence[Record]) -> None:
        """Each on a line of its own."""
        records = picked(records)
        if not self._as_csv:
            for record in records:
                sys.stdout.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")
        else:
            if self._columns is None:
                self._columns = _columns(records) or list(_chosen.get() or ())
                self._row(self._columns)
            for record in records:
                self._row(_cell(record.get(name)) for name in self._columns)
        sys.stdout.flush()

    def _row(self, cells: Iterable[str]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(cells)
        # Without a column there is no head either.
        sys.stdout.write(line.getvalue().lstrip("\n") if self._columns == [] else line.getvalue())


def _columns(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record))


def _cell(value: Any) -> str:
    """Text as it is; what has parts, and what is true or false, as JSON has it."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
