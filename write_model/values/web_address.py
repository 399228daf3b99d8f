"""An address of the web that we may be asked to call: one spelling, and nothing in it that hides another.

Only names are taken, never numbers: `0x7f.1`, `2130706433`, `0177.0.0.1` and `[::1]` are spellings of
addresses that some resolver understands. What a name resolves to is checked by whoever connects.
"""

import re
from dataclasses import dataclass
from typing import Final

import idna

from write_model.values.invalid import Invalid

_LENGTH_MAX: Final = 500
_HOST_LENGTH_MAX: Final = 253
_PORT_MAX: Final = 65_535
_FREE_PORTS_FROM: Final = 1_024
_PORTS: Final = {"https": 443, "http": 80}
_PARTS: Final = re.compile(r"(https?)://([^/?#\\]+)([/?][!-\[\]-~]*)?")
_AUTHORITY: Final = re.compile(r"([^:@\[\]%]+)(?::([0-9]{1,5}))?")
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# What URL parsers of the web read as a number, and therefore as an address.
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1"})
_OWN_ENDINGS: Final = (".localhost", ".local", ".internal", ".arpa")


@dataclass(frozen=True, slots=True)
class WebAddress:
    """`host` in ASCII and lower case; `target` is path and query, as it stands in a request."""

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, text: str, *, loopback_allowed: bool = False) -> "WebAddress":
        """Read one; raises Invalid. Plain http and this machine itself are for development only."""
        found = _PARTS.fullmatch(text[: _LENGTH_MAX + 1])
        authority = _AUTHORITY.fullmatch(found[2]) if found else None
        if found is None or authority is None or len(text) > _LENGTH_MAX or "#" in text:
            raise _invalid("An address is https://, a name, perhaps a port, a path and a query.")
        scheme, host = found[1], _ascii(authority[1])
        port = int(authority[2]) if authority[2] else _PORTS[scheme]
        if loopback_allowed and host in _LOOPBACK and 0 < port <= _PORT_MAX:
            return cls(scheme, host, port, _target(found[3]))
        if scheme != "https":
            raise _invalid("Only https is called.")
        _require_public_name(host)
        if not (port == _PORTS[scheme] or _FREE_PORTS_FROM <= port <= _PORT_MAX):
            raise _invalid("The port is 443, or 1024 and above.")
        return cls(scheme, host, port, _target(found[3]))

    @property
    def authority(self) -> str:
        """As the header `Host` has it: the port only when it is not the usual one."""
        return self.host if self.port == _PORTS[self.scheme] else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether it names this very machine."""
        return self.host in _LOOPBACK

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def _ascii(host: str) -> str:
    """The name as the domain name system has it: one of another script becomes `xn--…`."""
    if len(host) > _HOST_LENGTH_MAX:
        raise _invalid("The name is too long.")
    try:
        return idna.encode(host, uts46=True, std3_rules=True).decode()
    except idna.IDNAError as error:
        raise _invalid("The name is not one of the domain name system.") from error


def _require_public_name(host: str) -> None:
    labels = host.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise _invalid("The name is not one of the domain name system.")
    if _NUMBER.fullmatch(labels[-1]):
        raise _invalid("A name is wanted, not a numeric address.")
    if len(labels) == 1 or host.endswith(_OWN_ENDINGS):
        raise _invalid("The name must be one of the public internet.")


def _target(text: str | None) -> str:
    return "/" if text is None else text if text.startswith("/") else f"/{text}"


def _invalid(message: str) -> Invalid:
    return Invalid("invalid-web-address", message, {"field": "url"})
