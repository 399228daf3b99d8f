"""Layouts of the income statement (DRE): versioned data in `dre_layouts/`, checked when it is read.

A line is a set of accounts, each with all below it, or a sum of lines above it. Where two lines claim an
account, the longer code wins, so depreciation can be taken out of a group; no code may stand twice.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from read_model.ledger.accounts import groups_of


class BadLayout(ValueError):
    """A layout claims an account twice, or sums what is not above it."""


@dataclass(frozen=True, slots=True)
class LayoutLine:
    """One line: the accounts it claims, or the lines it sums."""

    key: str
    labels: Mapping[str, str]
    accounts: tuple[str, ...]
    sum_of: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """An income statement's lines in their order. The last one is the net result."""

    name: str
    version: int
    source: str
    titles: Mapping[str, str]
    share_of: str
    lines: tuple[LayoutLine, ...]

    def line_of(self, account_code: str) -> str | None:
        """The key of the line an account belongs to; None when no line claims it."""
        claims = {code: line.key for line in self.lines for code in line.accounts}
        for code in reversed((*groups_of(account_code), account_code)):
            if code in claims:
                return claims[code]
        return None


@cache
def layouts() -> Mapping[str, Layout]:
    """The newest version of each layout, by name."""
    folder = files("read_model.ledger").joinpath("dre_layouts")
    found = [layout_of(json.loads(file.read_text("utf-8"))) for file in folder.iterdir() if file.is_file()]
    return {layout.name: layout for layout in sorted(found, key=lambda layout: layout.version)}


def layout_of(data: Mapping[str, Any]) -> Layout:
    """A layout from its data; raises BadLayout when it could not add up."""
    lines = tuple(_line(line) for line in data["lines"])
    _check(data["layout"], lines, data["share_of"])
    return Layout(
        name=data["layout"],
        version=data["version"],
        source=data["source"],
        titles=data["title"],
        share_of=data["share_of"],
        lines=lines,
    )


def _line(data: Mapping[str, Any]) -> LayoutLine:
    return LayoutLine(
        key=data["key"],
        labels={"pt-BR": data["pt-BR"], "en": data["en"]},
        accounts=tuple(data.get("accounts", ())),
        sum_of=tuple(data.get("sum_of", ())),
    )


def _check(name: str, lines: Sequence[LayoutLine], share_of: str) -> None:
    claimed = [code for line in lines for code in line.accounts]
    if len(set(claimed)) != len(claimed):
        raise BadLayout(f"{name}: an account stands in two lines")
    above: set[str] = set()
    summed: list[str] = []
    for line in lines:
        if bool(line.accounts) == bool(line.sum_of) or line.key in above or not above.issuperset(line.sum_of):
            raise BadLayout(f"{name}: line {line.key} is neither a set of accounts nor a sum of lines above")
        above.add(line.key)
        summed += line.sum_of
    # Every line but the last goes into exactly one sum, so the last one is the sum of all accounts.
    if sorted(summed) != sorted(line.key for line in lines[:-1]) or share_of not in above:
        raise BadLayout(f"{name}: a line is summed never or twice")
