"""Signatures, against the example everybody who implements Standard Webhooks tests with."""

import hashlib
import hmac
import re
import time
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from integration.webhooks.signatures import signature

SECRET = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE_ID, TIMESTAMP = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_published_example_has_the_published_signature() -> None:
    assert signature([b64decode(SECRET)], MESSAGE_ID, TIMESTAMP, BODY) == SIGNATURE


def test_each_secret_signs_by_itself() -> None:
    both = signature([b64decode(SECRET), b"another"], MESSAGE_ID, TIMESTAMP, BODY).split(" ")
    assert both[0] == SIGNATURE
    assert both[1] == signature([b"another"], MESSAGE_ID, TIMESTAMP, BODY)


@given(st.binary(min_size=1, max_size=64), st.integers(0, 2**33), st.binary())
def test_it_is_what_a_receiver_computes(secret: bytes, timestamp: int, body: bytes) -> None:
    expected = hmac.new(secret, b"evt_1." + str(timestamp).encode() + b"." + body, hashlib.sha256)
    assert signature([secret], "evt_1", timestamp, body) == f"v1,{b64encode(expected.digest()).decode()}"


def test_the_documentation_tells_receivers_how_to_check_it() -> None:
    text = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    known: dict[str, Any] = {}
    exec(code, known)  # noqa: S102 - our own documentation
    now = int(time.time())
    headers = {"webhook-id": "evt_1", "webhook-timestamp": str(now)}
    headers["webhook-signature"] = signature([b"another", b64decode(SECRET)], "evt_1", now, BODY)
    assert known["is_ours"](f"whsec_{SECRET}", headers, BODY)
    assert not known["is_ours"](f"whsec_{SECRET}", headers, BODY + b" ")
    assert not known["is_ours"](f"whsec_{b64encode(b'stranger').decode()}", headers, BODY)
    assert not known["is_ours"](f"whsec_{SECRET}", headers | {"webhook-timestamp": str(now - 3_600)}, BODY)
