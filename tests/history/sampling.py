"""Make a sample of an event out of its declaration, so that nobody has to write one by hand.

python -m tests.history.sampling        adds what is missing to tests/history/samples
"""

import sys
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID, uuid5

from write_model.message import EVENTS, Event, Personal
from write_model.store import topics
from write_model.values.money import Money
from write_model.values.quantity import Quantity, UnitPrice
from write_model.values.tax_number import TaxNumber

SAMPLES = Path(__file__).parent / "samples"
_NAMES = UUID("6f2b3a5e-0000-4000-8000-000000000000")
_PLAIN: Mapping[Any, Any] = {
    bool: True,
    int: 3,
    date: date(2026, 11, 23),
    datetime: datetime(2026, 11, 23, 10, 30, tzinfo=UTC),
    Decimal: Decimal("2.50"),
    Money: Money(1050),
    Quantity: Quantity.parse("2.5"),
    UnitPrice: UnitPrice.parse("4.2"),
    bytes: b"sample",
}


def path_of(topic: str, version: int) -> Path:
    """Where the sample of this version of a topic is kept."""
    return SAMPLES / f"{topic}.{version}.json"


def text_of(fact: Event) -> str:
    """The event as it would be stored, its personal texts sealed with a stand-in."""
    return topics.encode(
        fact, lambda personal, _: {"subject": str(personal.subject), "key": 1, "ct": "c2VhbA=="}
    )


def sample_of(kind: type[Any], path: str = "") -> Any:
    """An instance with every field filled, always the same for the same declaration."""
    hints = get_type_hints(kind)
    made = {}
    for item in fields(kind):
        if item.default is not MISSING and item.default is not None:
            made[item.name] = item.default  # a value with rules of its own: what it takes by itself it allows
        else:
            made[item.name] = _value(hints[item.name], f"{path}.{item.name}" if path else item.name)
    return kind(**made)


def _value(annotation: Any, path: str) -> Any:
    annotation = getattr(annotation, "__supertype__", annotation)  # a NewType
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        # What may be missing is there in the sample: more of the shape is then kept.
        return _value(next(kind for kind in arguments if kind is not NoneType), path)
    if origin is Literal:
        return arguments[0]
    if origin is tuple:
        kinds = (arguments[0],) if arguments[-1] is ... else arguments
        return tuple(_value(kind, f"{path}.{place}") for place, kind in enumerate(kinds))
    if origin in (list, set, frozenset):
        return origin([_value(arguments[0], f"{path}.0")])
    if origin is not None and issubclass(origin, Mapping):
        return {_value(arguments[0], f"{path}.key"): _value(arguments[1], f"{path}.value")}
    return _simple(annotation, path)


def _simple(kind: Any, path: str) -> Any:
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind is str:
        return f"sample of {path}"
    if kind is UUID:
        return uuid5(_NAMES, path)
    if kind is Personal:
        return Personal(uuid5(_NAMES, "subject"), f"sample of {path}")
    if kind is TaxNumber:
        return TaxNumber.parse("52998224725")
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind))
    if is_dataclass(kind):
        return sample_of(kind, path)  # type: ignore[arg-type]
    raise TypeError(f"{path}: no sample for {kind}; write {SAMPLES.name}/<topic>.<version>.json by hand")


def add_missing() -> list[Path]:
    """Write a sample for every event whose present version has none. Never touches one that is there."""
    topics.load()
    added = []
    for topic, kind in sorted(EVENTS.items()):
        path = path_of(topic, kind.schema_version)
        if not path.exists():
            SAMPLES.mkdir(exist_ok=True)
            path.write_text(text_of(sample_of(kind)) + "\n", encoding="utf-8")
            added.append(path)
    return added


if __name__ == "__main__":
    for made in add_missing():
        sys.stdout.write(f"{made}\n")
