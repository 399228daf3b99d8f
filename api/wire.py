"""How the values of the write model look in JSON: the pydantic type of every type a command may have.

Money, quantities, prices and percentages are text, never numbers. Dates are `YYYY-MM-DD`. Identifiers
carry their prefix. Text is cleaned and measured. Every check is the value's own: this module only says
where in the JSON a value stands.
"""

import re
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
    create_model,
)

from write_model.values.dates import parse_date
from write_model.values.identifiers import PREFIXES, decode
from write_model.values.invalid import Invalid
from write_model.values.limits import Length
from write_model.values.money import Money
from write_model.values.period import Period
from write_model.values.quantity import Quantity, UnitPrice
from write_model.values.tax_number import TaxNumber
from write_model.values.text import clean_text

# No document has more lines than this; the decisions themselves may allow fewer.
ITEMS_MAX = 1_000

_PERCENTAGE = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,4})?", re.ASCII)

STRICT = ConfigDict(extra="forbid", strict=True, frozen=True)


def _parsed(parse: Callable[[Any], Any], schema: dict[str, Any]) -> tuple[Any, ...]:
    return PlainValidator(parse), WithJsonSchema({"type": "string", **schema})


def _percentage(text: Any) -> Decimal:
    if not isinstance(text, str) or not _PERCENTAGE.fullmatch(text):
        raise Invalid("invalid-percentage", "A percentage is plain decimal text with at most 4 decimals.")
    return Decimal(text)


def _currency(text: Any) -> str:
    # Money checks it again; here the error gets its place.
    return Money(0, text).currency


def _amount(text: Any) -> Money:
    return Money.parse(text)


class MoneyIn(BaseModel):
    """An amount and its currency."""

    model_config = STRICT

    amount: Annotated[
        Money,
        *_parsed(_amount, {"pattern": r"^-?[0-9]{1,15}\.[0-9]{2}$", "examples": ["1234.50"]}),
    ]
    currency: Annotated[str, *_parsed(_currency, {"pattern": "^[A-Z]{3}$", "examples": ["BRL"]})]


def _money(given: MoneyIn) -> Money:
    return given.amount if given.currency == "BRL" else Money(given.amount.minor, given.currency)


_VALUES: dict[Any, Any] = {
    Money: Annotated[MoneyIn, AfterValidator(_money)],
    Quantity: Annotated[
        Quantity,
        *_parsed(Quantity.parse, {"pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,4})?$", "examples": ["2.5"]}),
    ],
    UnitPrice: Annotated[
        UnitPrice,
        *_parsed(UnitPrice.parse, {"pattern": r"^[0-9]{1,12}(\.[0-9]{1,10})?$", "examples": ["19.90"]}),
    ],
    Decimal: Annotated[
        Decimal,
        *_parsed(_percentage, {"pattern": r"^[0-9]{1,3}(\.[0-9]{1,4})?$", "examples": ["2.00"]}),
    ],
    TaxNumber: Annotated[
        TaxNumber, *_parsed(TaxNumber.parse, {"maxLength": 18, "examples": ["12.ABC.345/01DE-35"]})
    ],
    Period: Annotated[
        Period, *_parsed(Period.parse, {"pattern": "^[0-9]{4}-[0-9]{2}$", "examples": ["2026-11"]})
    ],
    date: Annotated[date, *_parsed(parse_date, {"format": "date", "examples": ["2026-11-23"]})],
    bool: bool,
    int: int,
}


def wire_type(annotation: Any) -> Any:
    """The pydantic type of a field of a command; raises TypeError for what has no JSON form yet."""
    known = _VALUES.get(annotation) if not isinstance(annotation, type(Annotated[int, 0])) else None
    if known is not None:
        return known
    if isinstance(annotation, NewType):
        return _identifier(annotation)
    if is_dataclass(annotation) and isinstance(annotation, type):
        return Annotated[nested_model(annotation), AfterValidator(_builder(annotation))]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return annotation
    if origin is Annotated:
        return _text(annotation, arguments)
    if origin in (Union, UnionType):
        kinds = [wire_type(argument) for argument in arguments if argument is not NoneType]
        return Union[tuple([*kinds, None] if NoneType in arguments else kinds)]  # noqa: UP007 - computed
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return Annotated[
            tuple[wire_type(arguments[0]), ...],  # type: ignore[misc]
            # Strict mode takes no list for a tuple, and JSON has nothing else.
            BeforeValidator(_tuple),
            Field(max_length=ITEMS_MAX),
        ]
    raise TypeError(f"{annotation!r} has no JSON form")


def _tuple(given: Any) -> Any:
    return tuple(given) if isinstance(given, list) else given


def _identifier(kind: NewType) -> Any:
    prefix = PREFIXES[kind]
    schema = {
        "pattern": f"^{prefix}_[0-7][0-9A-HJKMNP-TV-Z]{{25}}$",
        "examples": [f"{prefix}_01JDCE8Z0M9T3VX4K7QAWB2R5N"],
    }
    return Annotated[Any, *_parsed(lambda text: decode(prefix, text), schema)]


def _text(annotation: Any, arguments: tuple[Any, ...]) -> Any:
    length = next((item for item in arguments[1:] if isinstance(item, Length)), None)
    if arguments[0] is not str or length is None:
        raise TypeError(f"{annotation!r} has no JSON form")

    def clean(text: Any) -> str:
        return clean_text(text, max_length=length.maximum, min_length=length.minimum)

    return Annotated[str, *_parsed(clean, {"minLength": length.minimum, "maxLength": length.maximum})]


# --- models -------------------------------------------------------------------------------------------


@cache
def nested_model(kind: type) -> type[BaseModel]:
    """The model of a dataclass that stands inside a command."""
    return create_model(
        kind.__name__,
        __config__=STRICT,
        __doc__=(kind.__doc__ or "").strip(),
        **field_definitions(kind),
    )


def field_definitions(kind: Any) -> dict[str, Any]:
    """Each field of a dataclass as pydantic wants it: type and default."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        item.name: (wire_type(hints[item.name]), ... if item.default is MISSING else _default(item.default))
        for item in fields(kind)
    }


def _default(value: Any) -> Any:
    """A default; one that JSON cannot show is kept out of the documents."""
    if value is None or isinstance(value, str | bool | int | tuple):
        return value
    return Field(default_factory=lambda: value)


def _builder(kind: type) -> Callable[[BaseModel], Any]:
    def build(given: BaseModel) -> Any:
        return kind(**given.__dict__)

    return build
