"""Which formats a client accepts, against those a route has."""

from collections.abc import Sequence
from functools import lru_cache

from starlette.requests import Request

from api.problems import Problem

JSON = "application/json"
_HEADER_LENGTH_MAX = 500


def require_format(request: Request, formats: Sequence[str] = (JSON,)) -> None:
    """406 unless the client accepts one of the formats; listing them."""
    header = request.headers.get("accept")
    if header is not None and not accepts(header[:_HEADER_LENGTH_MAX], tuple(formats)):
        raise Problem("not-acceptable", params={"available": ", ".join(formats)})


@lru_cache(maxsize=256)
def accepts(header: str, formats: tuple[str, ...]) -> bool:
    """Whether an `Accept` header allows one of the formats."""
    for part in header.split(","):
        wanted, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if any(
            parameter.replace(" ", "") in ("q=0", "q=0.0", "q=0.00", "q=0.000") for parameter in parameters
        ):
            continue
        if wanted in ("", "*/*") or any(_covers(wanted, known) for known in formats):
            return True
    return False


def _covers(wanted: str, known: str) -> bool:
    return wanted == known or (wanted.endswith("/*") and known.startswith(wanted[:-1]))
