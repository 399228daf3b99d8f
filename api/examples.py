"""A valid example of every type a command may have: for the documentation, and for tests to spoil."""

from dataclasses import MISSING, fields, is_dataclass
from datetime import date
from decimal import Decimal
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin, get_type_hints

from write_model.values.identifiers import PREFIXES
from write_model.values.money import Money
from write_model.values.period import Period
from write_model.values.quantity import Quantity, UnitPrice
from write_model.values.tax_number import TaxNumber

_VALUES: dict[Any, Any] = {
    Money: {"amount": "150.00", "currency": "BRL"},
    Quantity: "2",
    UnitPrice: "19.90",
    Decimal: "2.00",
    TaxNumber: "12.ABC.345/01DE-35",
    Period: "2026-11",
    date: "2026-11-23",
    bool: False,
    int: 30,
}
# Text says little by its type; these fields have a form of their own.
_BY_NAME: dict[str, Any] = {
    "sku": "CAFE-500",
    "name": "Café torrado 500 g",
    "legal_name": "Comercial Boa Vista Ltda.",
    "trade_name": "Boa Vista",
    "unit": "UN",
    "email": "compras@boavista.example",
    "phone": "+55 11 3333-4444",
    "address": "Rua das Flores, 100",
    "city": "São Paulo",
    "state": "SP",
    "memo": "Conforme contrato",
    "category": "Bebidas",
    "bank_code": "341",
    "code": "3.1.1.99",
    "parent": "3.1.1",
    "account_code": "1.1.1.01",
    "ledger_account": "1.1.1.02",
    "external_ref": "ERP-1042",
    "description": "Frete",
    "url": "https://erp.boavista.example/ganchos",
    "topics": "sales.*",
}


def example_of(kind: Any, *, whole: bool = True, without: frozenset[str] = frozenset()) -> dict[str, Any]:
    """An object for a dataclass; `whole` includes the fields that may be left out."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        item.name: _example(item.name, hints[item.name])
        for item in fields(kind)
        if item.name not in without and (whole or item.default is MISSING)
    }


def _example(name: str, annotation: Any) -> Any:
    if isinstance(annotation, NewType):
        return f"{PREFIXES[annotation]}_01JDCE8Z0M9T3VX4K7QAWB2R5N"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _BY_NAME.get(name, "Texto")
    if annotation in _VALUES:
        return _VALUES[annotation]
    if is_dataclass(annotation):
        return example_of(annotation, whole=False)
    if origin is Literal:
        return arguments[0]
    if origin in (Union, UnionType):
        return _example(name, next(argument for argument in arguments if argument is not NoneType))
    if origin is tuple:
        return [_example(name, arguments[0])]
    raise TypeError(f"no example of {annotation!r}")
