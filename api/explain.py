"""Links that explain a figure: the ledger lines it is the sum of, each of which leads to its event."""

from collections.abc import Sequence
from datetime import date
from urllib.parse import urlencode


def lines_href(
    accounts: Sequence[str],
    *,
    first: date | None = None,
    last: date | None = None,
    before: date | None = None,
    known_as_of: str | None = None,
) -> str:
    """The lines of these accounts and all below them, between these days, as known then."""
    parameters = {
        "account[in]": ",".join(accounts),
        "effective_date[gte]": None if first is None else first.isoformat(),
        "effective_date[lte]": None if last is None else last.isoformat(),
        "effective_date[lt]": None if before is None else before.isoformat(),
        "known_as_of": known_as_of,
        "include": "total",
    }
    query = urlencode({name: value for name, value in parameters.items() if value}, safe="[],")
    return f"/v1/ledger/lines?{query}"
