"""Folds the facts about parties into their directory. Personal data is readable while its key exists."""

from projections.batch import Batch
from projections.projector import SqlProjection, on
from read_model.parties.directory import TABLE
from read_model.selection import folded
from write_model.message import Personal, Recorded
from write_model.parties.events import (
    PartyBlocked,
    PartyDetailsUpdated,
    PartyRegistered,
    PartyRoleAssigned,
    PartyUnblocked,
)


class PartiesDirectory(SqlProjection):
    """One row per party."""

    name = "parties_directory"
    version = 1
    tables = (TABLE,)

    @on(PartyRegistered)
    def registered(self, batch: Batch, recorded: Recorded, fact: PartyRegistered) -> None:
        batch.put(
            TABLE,
            {
                "party_id": fact.party_id,
                "customer": "customer" in fact.roles,
                "supplier": "supplier" in fact.roles,
                "tax_kind": fact.tax_kind,
                "tax_number": _text(fact.tax_number),
                "external_ref": fact.external_ref,
                "status": "active",
                "registered_on": recorded.effective_date,
                **_details(fact),
                "version": recorded.version,
            },
        )

    @on(PartyRoleAssigned)
    def role_assigned(self, batch: Batch, recorded: Recorded, fact: PartyRoleAssigned) -> None:
        changes = {fact.role: True, "version": recorded.version}
        batch.patch(TABLE, key={"party_id": fact.party_id}, set=changes)

    @on(PartyDetailsUpdated)
    def details_updated(self, batch: Batch, recorded: Recorded, fact: PartyDetailsUpdated) -> None:
        changes = {**_details(fact), "version": recorded.version}
        batch.patch(TABLE, key={"party_id": fact.party_id}, set=changes)

    @on(PartyBlocked)
    def blocked(self, batch: Batch, recorded: Recorded, fact: PartyBlocked) -> None:
        changes = {"status": "blocked", "version": recorded.version}
        batch.patch(TABLE, key={"party_id": fact.party_id}, set=changes)

    @on(PartyUnblocked)
    def unblocked(self, batch: Batch, recorded: Recorded, fact: PartyUnblocked) -> None:
        changes = {"status": "active", "version": recorded.version}
        batch.patch(TABLE, key={"party_id": fact.party_id}, set=changes)


def _details(fact: PartyRegistered | PartyDetailsUpdated) -> dict[str, str | None]:
    return {
        "name": fact.name.text,
        "email": _text(fact.email),
        "phone": _text(fact.phone),
        "address": _text(fact.address),
        "city": fact.city,
        "state": fact.state,
        "folded": folded(fact.name.text),
    }


def _text(personal: Personal | None) -> str | None:
    return None if personal is None else personal.text
