"""Where a verification may begin that does not read again what was signed: at the newest signed heads.

What lies before them is believed, except that the signed event still has the hash that was signed. So an
alteration further back is not seen, nor an event id that occurs both there and later; a tail that was cut,
and anything altered, added or rewritten since, is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from psycopg import Connection

from write_model.store.canonical import GENESIS

_POSITION = (
    "SELECT position, hash FROM ccontrol.events WHERE partition = %s AND company_id = %s "
    "ORDER BY position DESC OFFSET %s LIMIT 1"
)
_FIRST = "SELECT min(position) FROM ccontrol.events WHERE partition = %s AND company_id = %s"
_BETWEEN = (
    "SELECT count(*), (array_agg(prev_hash ORDER BY position))[1] FROM ccontrol.events "
    "WHERE partition = %s AND company_id = %s AND position > %s AND position <= %s"
)
_VERSIONS = """
    SELECT stream_id, max(version) FROM ccontrol.events
    WHERE partition = %(partition)s AND position <= %(after)s AND stream_id IN
        (SELECT stream_id FROM ccontrol.events WHERE partition = %(partition)s AND position > %(after)s)
    GROUP BY stream_id
"""


@dataclass(slots=True)
class Start:
    """Where a walk through one partition begins. Ids stand as text, as they are hashed."""

    after: int = 0
    lengths: dict[bytes, int] = field(default_factory=dict)
    heads: dict[bytes, bytes] = field(default_factory=dict)
    versions: dict[bytes, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Anchor:
    """The event at which the chain of a company had the hash that was signed."""

    company_id: UUID
    position: int
    length: int
    hash: bytes
    is_last: bool


def start_of(
    connection: Connection[Any],
    partition: int,
    head: int,
    lengths: Mapping[UUID, int],
    anchors: Mapping[UUID, tuple[int, bytes]],
) -> Start | None:
    """The start in one partition; None when a signed head is not where it should be, and all must be read.

    `lengths` are those the chains of its companies should have, `anchors` the newest signed heads of them.
    """
    found = []
    for company_id, length in lengths.items():
        anchor = _anchor(connection, partition, company_id, length, anchors.get(company_id, (0, GENESIS)))
        if anchor is None:
            return None
        found.append(anchor)
    start = Start(min((anchor.position for anchor in found if not anchor.is_last), default=head))
    for anchor in found:
        company = str(anchor.company_id).encode()
        start.lengths[company], start.heads[company] = anchor.length, anchor.hash
        if anchor.position > start.after:
            ((between, previous),) = connection.execute(
                _BETWEEN, (partition, anchor.company_id, start.after, anchor.position)
            ).fetchall()
            start.lengths[company], start.heads[company] = anchor.length - between, bytes(previous)
    before = connection.execute(_VERSIONS, {"partition": partition, "after": start.after})
    start.versions = {str(stream).encode(): version for stream, version in before}
    return start


def _anchor(
    connection: Connection[Any], partition: int, company_id: UUID, length: int, signed: tuple[int, bytes]
) -> _Anchor | None:
    signed_length, signed_hash = signed
    if signed_length == 0:
        ((first,),) = connection.execute(_FIRST, (partition, company_id)).fetchall()
        return None if first is None else _Anchor(company_id, first - 1, 0, GENESIS, is_last=False)
    behind = length - signed_length
    if behind < 0:
        return None
    row = connection.execute(_POSITION, (partition, company_id, behind)).fetchone()
    if row is None or bytes(row[1]) != signed_hash:
        return None
    return _Anchor(company_id, row[0], signed_length, signed_hash, is_last=behind == 0)
