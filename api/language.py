"""Which language to answer in: Portuguese, unless the client prefers English."""

from functools import lru_cache

from starlette.requests import HTTPConnection

DEFAULT = "pt-BR"
_HEADER_LENGTH_MAX = 200


def language_of(connection: HTTPConnection) -> str:
    """`pt-BR` or `en`, by `Accept-Language`."""
    header = connection.headers.get("accept-language")
    return DEFAULT if header is None else preferred(header[:_HEADER_LENGTH_MAX])


@lru_cache(maxsize=256)
def preferred(header: str) -> str:
    """The better of the two in an `Accept-Language` header."""
    best, best_weight = DEFAULT, 0.0
    for part in header.split(","):
        tag, _, rest = part.strip().partition(";")
        language = {"pt": "pt-BR", "en": "en", "*": DEFAULT}.get(tag.strip().lower().split("-")[0])
        weight = _weight(rest)
        if language is not None and weight > best_weight:
            best, best_weight = language, weight
    return best


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value) if value.strip().replace(".", "", 1).isdigit() else 0.0
    except ValueError:
        return 0.0
