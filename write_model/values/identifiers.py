"""Identifiers: UUIDs inside, prefixed text outside.

Clients see ``sal_01JF8Z…``: what it is, then 26 characters of Crockford's base 32. One identifier has one
text only, so caches, logs and idempotency never meet the same thing under two names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NewType
from uuid import UUID

from write_model.values.invalid import Invalid

CompanyId = NewType("CompanyId", UUID)
UserId = NewType("UserId", UUID)
PartyId = NewType("PartyId", UUID)
ProductId = NewType("ProductId", UUID)
WarehouseId = NewType("WarehouseId", UUID)
SaleId = NewType("SaleId", UUID)
ReceivableId = NewType("ReceivableId", UUID)
InstalmentId = NewType("InstalmentId", UUID)
SettlementId = NewType("SettlementId", UUID)
BankAccountId = NewType("BankAccountId", UUID)
JournalEntryId = NewType("JournalEntryId", UUID)
CommandId = NewType("CommandId", UUID)
EventId = NewType("EventId", UUID)
WebhookId = NewType("WebhookId", UUID)
WebhookDeliveryId = NewType("WebhookDeliveryId", UUID)

PREFIXES: Final[Mapping[object, str]] = MappingProxyType(
    {
        CompanyId: "cmp",
        UserId: "usr",
        PartyId: "pty",
        ProductId: "prd",
        WarehouseId: "whs",
        SaleId: "sal",
        ReceivableId: "rcv",
        InstalmentId: "ins",
        SettlementId: "set",
        BankAccountId: "bnk",
        JournalEntryId: "led",
        CommandId: "cmd",
        EventId: "evt",
        WebhookId: "whk",
        WebhookDeliveryId: "whd",
    }
)
"""The prefix of each kind of identifier."""

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# 128 bits fill 26 characters of five with two bits to spare, so the first is at most 7.
_BODY: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
# int() reads base 32 with the digits 0-9 and A-V; this, on bytes, is what makes decoding fast.
_TO_BASE_32: Final = bytes.maketrans(_ALPHABET.encode(), b"0123456789ABCDEFGHIJKLMNOPQRSTUV")
# Two characters at a time, for encoding.
_PAIRS: Final = tuple(high + low for high in _ALPHABET for low in _ALPHABET)

_RANDOM_BYTES: Final = 10


def encode(prefix: str, value: UUID) -> str:
    """Write an identifier as its prefix and 26 characters."""
    n = value.int
    pairs = _PAIRS
    return (
        f"{prefix}_{pairs[n >> 120]}{pairs[n >> 110 & 1023]}{pairs[n >> 100 & 1023]}{pairs[n >> 90 & 1023]}"
        f"{pairs[n >> 80 & 1023]}{pairs[n >> 70 & 1023]}{pairs[n >> 60 & 1023]}{pairs[n >> 50 & 1023]}"
        f"{pairs[n >> 40 & 1023]}{pairs[n >> 30 & 1023]}{pairs[n >> 20 & 1023]}{pairs[n >> 10 & 1023]}"
        f"{pairs[n & 1023]}"
    )


def decode(prefix: str, text: str) -> UUID:
    """Read an identifier of that prefix; lower case, look-alike letters and other lengths are refused."""
    if isinstance(text, str):
        given, _, body = text.partition("_")
        if given == prefix and _BODY.fullmatch(body):
            return UUID(int=int(body.encode().translate(_TO_BASE_32), 32))
    raise Invalid("invalid-id", "This is not an identifier of the expected kind.", {"prefix": prefix})


def uuid7(milliseconds: int, random_bits: bytes) -> UUID:
    """Build a time-ordered UUID (RFC 9562) from the Unix time and ten random bytes, both given.

    The first six of the eighty bits are dropped: the version and the variant need their places.
    """
    if type(milliseconds) is not int or not 0 <= milliseconds < 1 << 48:
        raise Invalid("invalid-id", "The time of an identifier is out of range.")
    if len(random_bits) != _RANDOM_BYTES:
        raise Invalid("invalid-id", "An identifier needs ten random bytes.")
    random = int.from_bytes(random_bits, "big")
    high = random >> 62 & 0xFFF
    low = random & (1 << 62) - 1
    return UUID(int=milliseconds << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low)
