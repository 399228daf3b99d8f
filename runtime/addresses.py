"""Whether a text can be where a server is. Asked before anybody uses it: their complaints quote passwords."""

from typing import Final
from urllib.parse import urlsplit

SCHEMES: Final = {
    "DATABASE_URL": ("postgresql",),
    "REDIS_URL": ("redis", "rediss", "unix"),
    "AMQP_URL": ("amqp", "amqps"),
}
"""The variables of the environment that hold one, and how it begins."""


def complaint_about(name: str, text: str) -> str | None:
    """What is wrong with what this variable holds, without quoting it; None where nothing is."""
    try:
        address = urlsplit(text)
        # Reading the port is what checks it.
        is_one = address.scheme.partition("+")[0] in SCHEMES[name] and address.port != 0
    except ValueError:
        is_one = False
    return None if is_one else f"{name} is not an address of the form {SCHEMES[name][0]}://…"
