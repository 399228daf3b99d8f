"""Rows of a CSV file as exports, spreadsheets and people leave them.

Every physical line is a row of its own: a stray quote then spoils its line and not the rest of the file.
Headers are matched without regard to case, spaces, a byte order mark, or the spellings in `ALIASES`.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Headers as they are found, and what they are called in the published data set.
ALIASES: Mapping[str, str] = {
    "product_category_namept": "product_category_name",
    "product_name_length": "product_name_lenght",
    "product_description_length": "product_description_lenght",
}


class Unreadable(Exception):
    """A file or a column that must be there is not; says which."""


@dataclass(frozen=True, slots=True)
class RowRefused:
    """A row that was left out, and why."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line: the wanted columns in the wanted order, a fingerprint of all of it, and its flaw if any."""

    line: int
    values: tuple[str, ...]
    content: int
    flaw: str | None = None


def rows_of(directory: Path, file: str, wanted: Sequence[str]) -> Iterator[Row]:
    """The rows of a file; raises Unreadable for a missing file or column, before the first row."""
    try:
        lines = (directory / file).open(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as failure:
        raise Unreadable(f"{file}: {failure.strerror or 'cannot be read'} in {directory}") from None
    with lines:
        header = _header(file, lines.readline())
        missing = [name for name in wanted if name not in header]
        if missing:
            raise Unreadable(f"{file}: no column {', '.join(missing)}")
        places = [header.index(name) for name in wanted]
        for number, line in enumerate(lines, start=2):
            if line.strip():
                yield _row(number, line, places, len(header))


def _row(number: int, line: str, places: Sequence[int], width: int) -> Row:
    try:
        cells = [cell.strip() for cell in _cells(line)]
    except csv.Error:
        return Row(number, (), 0, "the quotes do not match")
    while len(cells) > width and not cells[-1]:
        cells.pop()  # a comma at the end of the line is not a column
    flaw = None
    if len(cells) < width:
        flaw = f"too few columns: {len(cells)} of {width}"
    elif len(cells) > width:
        flaw = f"too many columns: {len(cells)}, not {width}"
    elif not line.isascii() and any(map(_is_not_utf8, line)):
        flaw = "not UTF-8"
    values = tuple([cells[place] if place < len(cells) else "" for place in places])
    return Row(number, values, hash(tuple(cells)), flaw)


def _header(file: str, line: str) -> list[str]:
    try:
        return [_name(cell) for cell in _cells(line)]
    except csv.Error:
        raise Unreadable(f"{file}: the quotes in the header do not match") from None


def _cells(line: str) -> list[str]:
    return next(csv.reader((line,), strict=True), [])


def _name(cell: str) -> str:
    plain = cell.strip().strip("\ufeff").strip().lower()
    return ALIASES.get(plain, plain)


def _is_not_utf8(character: str) -> bool:
    # What "surrogateescape" makes of a byte that could not be decoded.
    return "\udc80" <= character <= "\udcff"
