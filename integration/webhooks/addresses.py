"""Which addresses may be called: those of the public internet, and nothing that leads back into a house.

What embeds another address (IPv4-mapped, NAT64, 6to4, Teredo) is refused whole rather than unpacked: a
partner whose name resolves to one of those has a plain address as well. A list of our own, because what the
standard library calls global has changed between its versions.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

_REFUSED_4: Final = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # this network; Linux connects 0.0.0.0 to itself
        "10.0.0.0/8",
        "100.64.0.0/10",  # behind a carrier's NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link local, and where clouds keep their metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
)
# All that is handed out for use on the internet.
_UNICAST_6: Final = ip_network("2000::/3")
_REFUSED_6: Final = tuple(
    ip_network(text)
    for text in (
        "2001::/23",  # protocols of their own: Teredo, ORCHID
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",
        "3fff::/20",  # documentation
        "3ffe::/16",  # the network of experiments, given back
    )
)


def is_public(text: str) -> bool:
    """Whether an address, as the resolver gave it, may be called."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _REFUSED_4)
    return _is_public_6(address)


def is_loopback(text: str) -> bool:
    """Whether it is this very machine; IPv4 and IPv6 as they are, nothing embedded."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return address.is_loopback and getattr(address, "ipv4_mapped", None) is None


def _is_public_6(address: IPv6Address) -> bool:
    if address.scope_id is not None or address not in _UNICAST_6:
        return False
    return not any(address in network for network in _REFUSED_6)
