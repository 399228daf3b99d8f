"""Addresses of the web: one spelling each, and nothing that hides another host."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from write_model.values.invalid import Invalid
from write_model.values.web_address import WebAddress


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("https://erp.example.com", "https://erp.example.com/"),
        ("https://ERP.Example.com:443/a?b=c", "https://erp.example.com/a?b=c"),
        ("https://erp.example.com:8443/x", "https://erp.example.com:8443/x"),
        ("https://erp.example.com?x=1", "https://erp.example.com/?x=1"),
        ("https://café.example.com/ganchos", "https://xn--caf-dma.example.com/ganchos"),
        ("https://例え.jp", "https://xn--r8jz45g.jp/"),
    ],
)
def test_an_address_has_one_spelling(text: str, normal: str) -> None:
    address = WebAddress.parse(text)
    assert str(address) == normal
    assert WebAddress.parse(normal) == address


@pytest.mark.parametrize(
    "text",
    [
        "http://erp.example.com/",
        "ftp://erp.example.com/",
        "HTTPS//erp.example.com",
        "https://",
        "https:///x",
        "https://user@erp.example.com/",
        "https://user:secret@erp.example.com/",
        "https://erp.example.com@10.0.0.1/",
        "https://erp.example.com\\@10.0.0.1/",
        "https://10.0.0.1/",
        "https://8.8.8.8/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://a.0x",
        "https://１２７.0.0.1/",
        "https://①②⑦.0.0.1/",
        "https://127。0。0。1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[fe80::1%25eth0]/",
        "https://localhost/",
        "https://LOCALHOST./",
        "https://a.localhost/",
        "https://metadata.google.internal/",
        "https://metadata/",
        "https://printer.local/",
        "https://a..example.com/",
        "https://-a.example.com/",
        "https://a_b.example.com/",
        "https://erp.example.com./",
        "https://erp.example.com:0/",
        "https://erp.example.com:22/",
        "https://erp.example.com:65536/",
        "https://erp.example.com:٤٤٣/",
        "https://erp.example.com:/",
        "https://erp.example.com/#fragment",
        "https://erp.example.com/a b",
        "https://erp.example.com/\r\nHost: x",
        "https://erp.example.com/é",
        "https://" + "a" * 64 + ".example.com/",
        "https://erp.example.com/" + "a" * 500,
        " https://erp.example.com/",
    ],
)
def test_what_hides_another_host_or_is_none_of_the_internet_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r".") as refused:
        WebAddress.parse(text)
    assert refused.value.code == "invalid-web-address"


def test_this_machine_is_for_development_only() -> None:
    for text in ("http://127.0.0.1:9000/x", "https://localhost:9000/x"):
        with pytest.raises(Invalid):
            WebAddress.parse(text)
        assert WebAddress.parse(text, loopback_allowed=True).is_loopback
    for text in ("http://erp.example.com/", "https://10.0.0.1/", "http://127.0.0.2/", "http://127.0.0.1:0/"):
        with pytest.raises(Invalid):
            WebAddress.parse(text, loopback_allowed=True)


@given(st.text(max_size=60))
def test_whatever_is_taken_is_a_plain_name_and_reads_the_same_again(text: str) -> None:
    try:
        address = WebAddress.parse(f"https://{text}")
    except Invalid:
        return
    assert str(address).isascii()
    assert not set(address.host) - set("abcdefghijklmnopqrstuvwxyz0123456789-.")
    assert not address.host.rpartition(".")[2].isdigit()
    assert WebAddress.parse(str(address)) == address
