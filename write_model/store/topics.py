"""The codec of events: a stable topic and canonical JSON in the store, a dataclass in the process.

Canonical means that one event has one text: keys sorted, no spaces, UTF-8, no floating point. It is hashed
as it stands, so encoding is done once, before the append, and never again.

    money       {"currency": "BRL", "minor": 1050}
    quantities, unit prices, tax numbers   plain strings
    personal    {"subject": id, "key": number, "ct": base64}   (see personal_data.py)

An event with `Personal` fields is encoded only with a `seal` and decoded to erased text without an `unseal`.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec

import write_model
from write_model.message import EVENTS, Event, Personal
from write_model.store.upcasts import UPCASTS
from write_model.values.quantity import Quantity, UnitPrice
from write_model.values.tax_number import TaxNumber

Seal = Callable[[Personal, str], dict[str, Any]]
"""Encrypt one personal text; the string is the path of its field, such as `contacts.0.name`."""
Unseal = Callable[[dict[str, Any], str], Personal]
"""Read back what `Seal` stored."""

# A key no document can have, because text with a NUL is refused at every door.
_MARK = "\x00personal"
_SEALED_KEYS = frozenset({"subject", "key", "ct"})


class UnknownTopic(Exception):
    """The store holds an event this program does not know: it is older than what wrote it."""


class NotStorable(TypeError):
    """An event type has a field without a canonical form, or an event is used in a way that would lose it."""


def load() -> None:
    """Import every `write_model.<context>.events`, then check that all of it can be stored and read."""
    for module in pkgutil.iter_modules(write_model.__path__, "write_model."):
        if module.ispkg and any(
            found.name == "events"
            for found in pkgutil.iter_modules(importlib.import_module(module.name).__path__)
        ):
            importlib.import_module(f"{module.name}.events")
    check()


def check() -> None:
    """Refuse to start with an event type that cannot be stored, or one whose past cannot be read."""
    UPCASTS.check({topic: kind.schema_version for topic, kind in EVENTS.items()})
    for kind in EVENTS.values():
        _check_annotations(kind)
        _form(kind)


def encode(fact: Event, seal: Seal | None = None) -> str:
    """The canonical text of an event."""
    kind = type(fact)
    if not has_personal_data(kind):
        return _ENCODER.encode(fact).decode()
    if seal is None:
        raise NotStorable(f"{kind.topic} holds personal data, which is only stored sealed")
    tree = msgspec.to_builtins(fact, enc_hook=_mark_personal)
    return _ENCODER.encode(_seal_marked(tree, "", seal)).decode()


def decode(topic: str, schema_version: int, text: str, unseal: Unseal | None = None) -> Event:
    """The event a stored text is, whatever version it was written in."""
    read = reader_of(topic, schema_version)
    if read is not None:
        return read(text)
    kind = EVENTS[topic]
    data = msgspec.json.decode(text)
    if has_personal_data(kind):
        # Before the upcasts: a text is sealed under the path its field had when it was written.
        data = _unseal_all(data, "", unseal or _erased)
    data = UPCASTS.apply(topic, schema_version, kind.schema_version, data)
    return msgspec.convert(data, kind, dec_hook=_from_builtin)


def reader_of(topic: str, schema_version: int) -> Callable[[str], Event] | None:
    """What reads the texts of a topic and version by itself; None where it takes an upcast or keys."""
    kind = require_known(topic, schema_version)
    form = _FORMS.get(kind) or _form(kind)
    return form.decoder.decode if schema_version == form.version and not form.personal else None


def require_known(topic: str, schema_version: int) -> type[Event]:
    """The type of a stored event. Raises UnknownTopic when only a newer program can read it."""
    kind = EVENTS.get(topic)
    if kind is None or not 1 <= schema_version <= kind.schema_version:
        raise UnknownTopic(f"{topic} version {schema_version}")
    return kind


def encode_plain(value: Any) -> str:
    """The canonical text of values that are no event, and hold no personal data."""
    return _ENCODER.encode(value).decode()


def decode_plain(value: Any, kind: Any) -> Any:
    """What `encode_plain` wrote, read as JSON, as the type it was."""
    return msgspec.convert(value, kind, dec_hook=_from_builtin)


def subjects_in(text: str) -> Iterator[UUID]:
    """The people whose sealed texts stand in a stored event."""
    for sealed in _sealed_parts(msgspec.json.decode(text)):
        yield UUID(sealed["subject"])


def has_personal_data(kind: type[Event]) -> bool:
    """Whether a `Personal` stands anywhere in the fields of this event type."""
    return (_FORMS.get(kind) or _form(kind)).personal


def personal_in(fact: Event) -> list[Personal]:
    """Every personal text of an event, in no particular order."""
    found: list[Personal] = []

    def note(value: Any) -> Any:
        if isinstance(value, Personal):
            found.append(value)
            return None
        return _to_builtin(value)

    msgspec.to_builtins(fact, enc_hook=note)
    return found


# --- values that are no builtin types -------------------------------------------------------------------


# Looked up rather than asked after with isinstance: it is done for every quantity of every event.
_TEXTS: dict[type[Any], Callable[[Any], str]] = {
    Quantity: str,
    UnitPrice: str,
    TaxNumber: lambda tax: str(tax.number),
}


def _to_builtin(value: Any) -> Any:
    text = _TEXTS.get(type(value))
    if text is None:
        raise NotStorable(f"{type(value).__name__} has no stored form")
    return text(value)


def _mark_personal(value: Any) -> Any:
    if isinstance(value, Personal):
        return {_MARK: (str(value.subject), value.text)}
    return _to_builtin(value)


# The same few quantities and prices come again and again, and checking their text is most of reading them.
_PARSERS: dict[type[Any], Callable[[str], Any]] = {
    kind: lru_cache(maxsize=65_536)(kind.parse) for kind in (Quantity, UnitPrice, TaxNumber)
}


def _from_builtin(kind: type[Any], value: Any) -> Any:
    if kind is Personal:
        # Already opened by `_unseal_all`, which is the only place that knows the path.
        subject, text = value[_MARK]
        return Personal(UUID(subject), text)
    parse = _PARSERS.get(kind)
    if parse is not None:
        return parse(value)
    raise NotStorable(f"{kind.__name__} has no stored form")


_ENCODER = msgspec.json.Encoder(enc_hook=_to_builtin, order="sorted")


class _Form(NamedTuple):
    """What is asked about a type for every event that is written or read."""

    version: int
    personal: bool
    decoder: "msgspec.json.Decoder[Event]"


_FORMS: dict[type[Event], _Form] = {}


def _form(kind: type[Event]) -> _Form:
    decoder = msgspec.json.Decoder(kind, dec_hook=_from_builtin)
    form = _FORMS[kind] = _Form(kind.schema_version, Personal in _types_in(kind), decoder)
    return form


# --- personal data ------------------------------------------------------------------------------------


def _seal_marked(node: Any, path: str, seal: Seal) -> Any:
    if isinstance(node, dict):
        if _MARK in node:
            subject, text = node[_MARK]
            if text is None:
                raise NotStorable("an erased text cannot be recorded anew")
            return seal(Personal(UUID(subject), text), path)
        return {key: _seal_marked(value, _below(path, key), seal) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_seal_marked(value, _below(path, index), seal) for index, value in enumerate(node)]
    return node


def _unseal_all(node: Any, path: str, unseal: Unseal) -> Any:
    if isinstance(node, dict):
        if node.keys() == _SEALED_KEYS:
            opened = unseal(node, path)
            return {_MARK: (str(opened.subject), opened.text)}
        return {key: _unseal_all(value, _below(path, key), unseal) for key, value in node.items()}
    if isinstance(node, list):
        return [_unseal_all(value, _below(path, index), unseal) for index, value in enumerate(node)]
    return node


def _sealed_parts(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if node.keys() == _SEALED_KEYS:
            yield node
        else:
            for value in node.values():
                yield from _sealed_parts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _sealed_parts(value)


def _below(path: str, step: object) -> str:
    return f"{path}.{step}" if path else str(step)


def _erased(sealed: dict[str, Any], path: str) -> Personal:
    return Personal(UUID(sealed["subject"]), None)


# --- what may be declared -------------------------------------------------------------------------------


def _check_annotations(kind: type[Event]) -> None:
    unsuitable = _types_in(kind) & {float, complex, Any, object}
    if unsuitable:
        raise NotStorable(f"{kind.topic} declares a field of type {unsuitable.pop()}")


def _types_in(kind: type[Any]) -> set[Any]:
    """Every type that stands in the annotations of a dataclass, however deep."""
    found: set[Any] = set()
    waiting: list[Any] = [kind]
    while waiting:
        annotation = waiting.pop()
        annotation = getattr(annotation, "__supertype__", annotation)  # a NewType
        origin = get_origin(annotation)
        if origin is Annotated:
            waiting.append(get_args(annotation)[0])
        elif origin in (Union, UnionType) or origin is not None:
            waiting.extend(item for item in get_args(annotation) if _is_type(item))
        elif annotation not in found:
            found.add(annotation)
            if is_dataclass(annotation):
                hints = get_type_hints(annotation)
                waiting.extend(hints[item.name] for item in fields(annotation))
    return found


def _is_type(item: Any) -> bool:
    # Not the ellipsis of tuple[X, ...], nor the values of a Literal.
    return (
        item is Any
        or isinstance(item, type)
        or get_origin(item) is not None
        or hasattr(item, "__supertype__")
    )
