"""Random input of every kind at the doors of commands: a 2xx or a problem, never a 5xx, never a hang."""

import json
import random
from typing import Any

import pytest

from api.command_doors import forms
from tests.doors.world import World, assert_problem

pytestmark = pytest.mark.asyncio

_ROUNDS = 40
_ATOMS: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    10**30,
    1.5,
    "",
    " ",
    "0",
    "-0.00",
    "1.00",
    "999999999999.9999",
    "2026-11-23",
    "9999-12-31",
    "2026-11",
    "cash",
    "D",
    "BRL",
    "brl",
    "á",
    "\x00",
    "\ud800",
    "\U0001f4a9",
    "x" * 600,
    "529.982.247-25",
    "prd_01JDCE8Z0M9T3VX4K7QAWB2R5N",
    "pty_7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
)


def anything(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.random()
    if depth > 3 or kind < 0.6:
        return rng.choice(_ATOMS)
    if kind < 0.8:
        return [anything(rng, depth + 1) for _ in range(rng.randrange(4))]
    names = ("amount", "currency", "kind", "lines", "x", "", "sku", "due_date", "method")
    return {rng.choice(names): anything(rng, depth + 1) for _ in range(rng.randrange(4))}


def disturbed(rng: random.Random, value: Any) -> Any:
    """The example with one to three things changed, anywhere in it."""
    if rng.random() < 0.15:
        return anything(rng)
    if isinstance(value, dict) and value:
        name = rng.choice(sorted(value))
        if rng.random() < 0.1:
            return {key: item for key, item in value.items() if key != name}
        return value | {name: disturbed(rng, value[name])}
    if isinstance(value, list) and value:
        place = rng.randrange(len(value))
        changed = [*value[:place], disturbed(rng, value[place]), *value[place + 1 :]]
        return changed * rng.choice((1, 1, 2, 50))
    return anything(rng)


def garbled(rng: random.Random, raw: bytes) -> bytes:
    """The bytes with a few of them replaced, cut or repeated."""
    broken = bytearray(raw)
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(broken))
        match rng.randrange(3):
            case 0:
                broken[place] = rng.randrange(256)
            case 1:
                del broken[place:]
                broken += b" "
            case _:
                broken[place:place] = rng.choice((b"{", b'"', b"\\u0000", b",", b"\xff", b"1e9999"))
    return bytes(broken)


@pytest.mark.parametrize("topic", sorted(forms()))
async def test_no_body_breaks_a_door(world: World, topic: str) -> None:
    rng = random.Random(topic)
    form = forms()[topic]
    path = f"/v1{form.meta.route}".replace(f"{{{form.meta.target}}}", str(form.target_example()))
    for _ in range(_ROUNDS):
        body = disturbed(rng, form.example())
        raw = json.dumps(body).encode()
        for sent in (raw, garbled(rng, raw)):
            answer = await world.post(path, None, raw=sent)
            assert answer.status_code < 500, (sent, answer.text)
            if answer.status_code >= 400:
                assert_problem(answer, answer.status_code)
        item = {"topic": rng.choice((topic, anything(rng))), "target": anything(rng), "body": body}
        mixed = {
            "atomic": rng.choice((True, False, 1)),
            "commands": [item, disturbed(rng, item), anything(rng)],
        }
        headers = {name: value for name, value in world.headers().items() if name != "Idempotency-Key"}
        for generic in (item, mixed):
            answer = await world.post("/v1/commands", generic, headers=headers)
            assert answer.status_code < 500, (generic, answer.text)


async def test_no_header_breaks_a_door(world: World) -> None:
    rng = random.Random(7)
    names = (
        "Accept",
        "Accept-Language",
        "Authorization",
        "Ccontrol-Company",
        "Consistency-Token",
        "Content-Type",
        "Content-Encoding",
        "Idempotency-Key",
        "If-Match",
        "Prefer",
        "Request-Id",
    )
    values = (b"", b"\xff\xfe", b"a" * 9_000, b"*", b'"', b";;;,,,===", b"\xf0\x9f\x92\xa9", b"0", b"q=q;q=2")
    for name in names:
        for value in values:
            headers = {key.encode(): text.encode() for key, text in world.headers().items()}
            headers[name.encode()] = value
            for method, path in (("POST", "/v1/parties"), ("GET", "/v1/me"), ("GET", "/livez")):
                content = json.dumps({"name": f"N{rng.random()}"}).encode() if method == "POST" else None
                answer = await world.client.request(method, path, content=content, headers=headers)
                assert answer.status_code < 500, (name, value, answer.text)
