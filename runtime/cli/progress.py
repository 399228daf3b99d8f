"""How far long work has come: a bar on a terminal, one line every ten seconds elsewhere; always on stderr."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from runtime.cli import output

_LINE_EVERY_SECONDS = 10.0


class Progress(Protocol):
    """Told of work as it is done."""

    def done(self, amount: int) -> None:
        """So much more is done."""
        ...

    def of(self, total: int) -> None:
        """So much there is to do, now that it is known."""
        ...

    def say(self, text: str) -> None:
        """What is known beside the amounts: lag, position."""
        ...


@contextmanager
def progress(title: str, total: int, unit: str) -> Iterator[Progress]:
    """Follow `total` pieces of work; `unit` names what the rate counts (`commands`)."""
    if sys.stderr.isatty():
        with _bar(title, total, unit) as bar:
            yield bar
    else:
        lines = _Lines(title, total, unit)
        try:
            yield lines
        finally:
            lines.close()


class _Lines:
    """For logs."""

    def __init__(self, title: str, total: int, unit: str) -> None:
        self._title, self._total, self._unit = title, total, unit
        self._done = 0
        self._text = ""
        self._started = self._said = time.monotonic()

    def done(self, amount: int) -> None:
        self._done += amount
        now = time.monotonic()
        if now - self._said >= _LINE_EVERY_SECONDS:
            self._said = now
            self._write()

    def of(self, total: int) -> None:
        self._total = total

    def say(self, text: str) -> None:
        self._text = text

    def close(self) -> None:
        if self._done or self._total:
            self._write()

    def _write(self) -> None:
        seconds = max(time.monotonic() - self._started, 1e-9)
        percent = 100 * self._done // self._total if self._total else 100
        rate = self._done / seconds
        left = (self._total - self._done) / rate if rate and self._total > self._done else 0
        text = (f"   ETA {left:.0f} s" if left else "") + (f"   {self._text}" if self._text else "")
        output.note(
            f"{self._title}  {percent} %  {self._done:,}/{self._total:,} {self._unit}  "
            f"{rate:,.0f}/s  {seconds:.0f} s{text}"
        )


@contextmanager
def _bar(title: str, total: int, unit: str) -> Iterator[Progress]:
    from rich import progress as rich_progress

    with rich_progress.Progress(
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.TaskProgressColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TextColumn("{task.fields[rate]}"),
        rich_progress.TextColumn("ETA"),
        rich_progress.TimeRemainingColumn(compact=True),
        rich_progress.TextColumn("{task.fields[text]}"),
        console=output.console(stderr=True),
        transient=False,
    ) as shown:
        task = shown.add_task(title, total=total, rate="", text="")

        class Bar:
            """For a person."""

            def done(self, amount: int) -> None:
                speed = shown.tasks[0].speed
                shown.update(task, advance=amount, rate=f"{speed:,.0f} {unit}/s" if speed else "")

            def of(self, total: int) -> None:
                shown.update(task, total=total)

            def say(self, text: str) -> None:
                shown.update(task, text=text)

        yield Bar()
