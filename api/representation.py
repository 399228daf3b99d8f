"""How rows of the read model look to clients: ids with their prefix, money and decimals as text, UTC times.

A row is declared once, in the read model. From its fields come both the shape in the OpenAPI document and
the function that writes it, so that no field can be shown in one way and described in another.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from pydantic import BaseModel, Field, create_model

from api.shapes import Instant, MoneyShape, Page, Shape
from read_model.row import Actor, Amount, Document, Names
from write_model.values.identifiers import encode

Write = Callable[[Any], Any]

_DECIMAL = Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]+)?$", examples=["2.5"])]
_DOCUMENT_PREFIXES = {"sale": "sal", "settlement": "set", "bank_account": "bnk"}
_ACTOR_PREFIXES = {"user": "usr", "api_key": "key"}


class DocumentShape(Shape):
    """What something is about. A kind without a page of its own has a plain UUID."""

    kind: str = Field(examples=["sale"])
    id: str


class ActorShape(Shape):
    """Who did something: `user`, `api_key` or `system`."""

    kind: str
    id: str
    on_behalf_of: str | None


@cache
def shape_of(row: type, **extra: Any) -> type[BaseModel]:
    """The shape of a row, with the fields a route adds to it."""
    hints = get_type_hints(row, include_extras=True)
    shown = {item.name: (_type_of(hints[item.name]), ...) for item in fields(row)}
    added = {name: (annotation, ...) for name, annotation in extra.items()}
    doc = (row.__doc__ or "").strip()
    # Two shapes of one row are two schemas of the document, which need two names.
    name = f"{row.__name__}Linked" if extra else row.__name__
    return create_model(name, __base__=Shape, __doc__=doc, **shown, **added)  # type: ignore[call-overload,no-any-return]


def page_of(row: type, **extra: Any) -> Any:
    """The shape of a page of such rows."""
    return Page.__class_getitem__(shape_of(row, **extra))


def shown(row: Any, **extra: Any) -> dict[str, Any]:
    """A row as clients see it, with the fields a route adds."""
    kind: Any = type(row)
    found: dict[str, Any] = _writer_of(kind)(row)
    return found | extra


def shown_page(page: Page[Any], show: Write = shown) -> Page[dict[str, Any]]:
    """A page with its rows as clients see them."""
    data = [show(row) for row in page.data]
    return Page.model_construct(data=data, page=page.page, as_of=page.as_of)


def money(amount: Amount) -> dict[str, str]:
    """`{"amount": "1234.50", "currency": "BRL"}`."""
    return MoneyShape.of_minor(amount.minor, amount.currency).model_dump()


def plain(number: Decimal) -> str:
    """The shortest text of a decimal: no exponent, no superfluous zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _document(document: Document) -> dict[str, str]:
    prefix = _DOCUMENT_PREFIXES.get(document.kind)
    return {"kind": document.kind, "id": encode(prefix, document.id) if prefix else str(document.id)}


def _actor(actor: Actor) -> dict[str, str | None]:
    prefix = _ACTOR_PREFIXES.get(actor.kind)
    behind = actor.on_behalf_of
    return {
        "kind": actor.kind,
        "id": encode(prefix, actor.id) if prefix else str(actor.id),
        "on_behalf_of": None if behind is None else encode("usr", behind),
    }


_TYPES: dict[Any, tuple[Any, Write | None]] = {
    str: (str, None),
    int: (int, None),
    bool: (bool, None),
    date: (date, None),
    UUID: (str, str),
    Decimal: (_DECIMAL, plain),
    datetime: (Instant, lambda moment: moment.astimezone(UTC)),
    Amount: (MoneyShape, money),
    Document: (DocumentShape, _document),
    Actor: (ActorShape, _actor),
}


def _type_of(annotation: Any) -> Any:
    return _described(annotation)[0]


@cache
def _writer_of(row: type) -> Write:
    hints = get_type_hints(row, include_extras=True)
    writers = [(item.name, _described(hints[item.name])[1]) for item in fields(row)]

    def write(given: Any) -> dict[str, Any]:
        return {
            name: getattr(given, name) if writer is None else writer(getattr(given, name))
            for name, writer in writers
        }

    return write


def _described(annotation: Any) -> tuple[Any, Write | None]:
    """The type to show and how to write it; None where the value is shown as it is."""
    if get_origin(annotation) is Annotated:
        return _identifier(annotation)
    if annotation in _TYPES:
        return _TYPES[annotation]
    if is_dataclass(annotation) and isinstance(annotation, type):
        return shape_of(annotation), _writer_of(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        (inner,) = (argument for argument in arguments if argument is not NoneType)
        kind, write = _described(inner)
        return kind | None, write and _unless_none(write)
    if origin is tuple and arguments[1:] == (Ellipsis,):
        kind, write = _described(arguments[0])
        return list[kind], _each(write)  # type: ignore[valid-type]
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return annotation, None
    raise TypeError(f"{annotation!r} has no form for clients")


def _identifier(annotation: Any) -> tuple[Any, Write]:
    names = next(item for item in annotation.__metadata__ if isinstance(item, Names))
    pattern = f"^{names.prefix}_[0-7][0-9A-HJKMNP-TV-Z]{{25}}$"
    example = f"{names.prefix}_01JDCE8Z0M9T3VX4K7QAWB2R5N"
    shape = Annotated[str, Field(pattern=pattern, examples=[example])]
    return shape, lambda value: encode(names.prefix, value)


def _unless_none(write: Write) -> Write:
    return lambda value: None if value is None else write(value)


def _each(write: Write | None) -> Write:
    return list if write is None else lambda values: [write(value) for value in values]
