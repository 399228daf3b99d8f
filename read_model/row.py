"""What rows are made of: ids that know what they name, amounts of money, documents."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Names:
    """Says what an id names; clients see it as a prefix of the id."""

    prefix: str


ProductId = Annotated[UUID, Names("prd")]
PartyId = Annotated[UUID, Names("pty")]
WarehouseId = Annotated[UUID, Names("whs")]
SaleId = Annotated[UUID, Names("sal")]
ReceivableId = Annotated[UUID, Names("rcv")]
InstalmentId = Annotated[UUID, Names("ins")]
SettlementId = Annotated[UUID, Names("set")]
BankAccountId = Annotated[UUID, Names("bnk")]
EntryId = Annotated[UUID, Names("led")]
EventId = Annotated[UUID, Names("evt")]
CommandId = Annotated[UUID, Names("cmd")]
WebhookId = Annotated[UUID, Names("whk")]
WebhookDeliveryId = Annotated[UUID, Names("whd")]


@dataclass(frozen=True, slots=True)
class Amount:
    """Whole centavos with their currency. A sum of amounts, so it has no cap."""

    minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Document:
    """What something is about: a sale, a settlement, a bank account…"""

    kind: str
    id: UUID


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did something."""

    kind: str
    id: UUID
    on_behalf_of: UUID | None
