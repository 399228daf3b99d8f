"""`python -m benchmarks SUBJECT [options]`: measure, print a table, keep the figures as JSON.

Every module of `benchmarks.subjects` is a subject. It has a docstring whose first line says what is measured,
`arguments(parser)` for options of its own, and `async measure(options) -> list[Result]`. If it has `BARS`,
the figures are judged as well.
"""

import argparse
import asyncio
import importlib
import json
import pkgutil
from pathlib import Path
from types import ModuleType

from benchmarks import subjects
from benchmarks.bars import judged
from benchmarks.harness import ROUNDS, SECONDS, Result, table


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="subject", required=True)
    found = {name: _subject(name) for name in sorted(m.name for m in pkgutil.iter_modules(subjects.__path__))}
    for name, module in found.items():
        summary = (module.__doc__ or "").splitlines()[0]
        command = commands.add_parser(name, help=summary, description=module.__doc__)
        command.add_argument("--rounds", type=int, default=ROUNDS, help="how often each case is measured")
        command.add_argument("--seconds", type=float, default=SECONDS, help="how long one measurement takes")
        command.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
        module.arguments(command)
    options = parser.parse_args()
    results: list[Result] = asyncio.run(found[options.subject].measure(options))
    print(table(results))
    print(judged(getattr(found[options.subject], "BARS", ()), results))
    if options.json is not None:
        options.json.write_text(json.dumps([result.as_json() for result in results], indent=1) + "\n")


def _subject(name: str) -> ModuleType:
    return importlib.import_module(f"benchmarks.subjects.{name}")


if __name__ == "__main__":
    main()
