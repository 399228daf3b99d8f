"""Which addresses may be called, against what the standard library knows of them."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from integration.webhooks.addresses import is_loopback, is_public


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254",
        "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.170", "192.0.2.1",
        "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1",
        "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::7f00:1", "::ffff:8.8.8.8", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
        "::ffff:0:10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "100::1",
        "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:10::1", "2001:20::1", "2001:db8::1",
        "2002:7f00:1::", "2002:0a00:0001::1", "3fff::1", "3ffe::1", "4000::1", "5f00::1",
        "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "2600::1%eth0", "fec0::1", "ff02::1",
        "", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "8.8.8.8 ", "8.8.8.8%1",
    ],
)  # fmt: skip
def test_what_leads_back_into_a_house_is_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00::1"])
def test_the_internet_may_be_called(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4))
@example(IPv4Address("192.0.0.9"))
@example(IPv4Address("192.0.0.10"))
def test_no_address_is_called_that_others_do_not_take_for_global(
    address: IPv4Address,
) -> None:
    if is_public(str(address)):
        assert address.is_global
        assert not any([address.is_multicast, address.is_reserved, address.is_loopback])


@given(st.ip_addresses(v=6))
@example(IPv6Address("2001:4:112::1"))
def test_nor_an_address_of_six(address: IPv6Address) -> None:
    if is_public(str(address)):
        assert address.is_global
        assert not any([address.is_multicast, address.is_reserved, address.is_site_local])
        assert address.ipv4_mapped is None
        assert address.sixtofour is None
        assert address.teredo is None


@given(st.ip_addresses(v=4))
def test_no_embedded_address_is_called_whatever_it_is(address: IPv4Address) -> None:
    n = int(address)
    mapped, translated = 0xFFFF << 32 | n, 0x64FF9B << 96 | n
    six_to_four, teredo = 0x2002 << 112 | n << 80, 0x20010000 << 96 | n ^ 0xFFFFFFFF
    for embedded in (n, mapped, translated, six_to_four, teredo):
        assert not is_public(str(IPv6Address(embedded)))


@given(st.ip_addresses())
def test_loopback_is_what_it_says(address: IPv4Address | IPv6Address) -> None:
    assert is_loopback(str(address)) == address.is_loopback
    assert not (is_loopback(str(address)) and is_public(str(address)))
    assert not is_loopback(f"::ffff:{ip_address('127.0.0.1')}")
