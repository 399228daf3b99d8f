"""Bad input at every door of every command: a clear refusal, nothing stored, never a 5xx, never an echo.

The valid body of each command is its documented example; each test spoils it in one way.
"""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from api.command_doors import forms
from api.door import BODY_BYTES_MAX
from api.forms import Form
from tests.doors.world import World, assert_problem, open_world

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOPICS = sorted(forms())
MARK = "ECHO7f3a"

MALFORMED = (
    b"",
    b" ",
    b"{",
    b'{"a":',
    b"{} {}",
    b"{}x",
    b"\xef\xbb\xbf{}",
    '{"a":"b"}'.encode("utf-16"),
    b'{"a":"\xff"}',
    b'{"a":"\xc0\x80"}',
    b'{"a":NaN}',
    b'{"a":Infinity}',
    b'{"a":-Infinity}',
    b'{"a":1e400}',
    b'{"a":01}',
    b"{'a':1}",
    b'{"a":"\n"}',
    b"[" * 100_000,
    b'{"a":' * 40_000,
)
BAD_TEXT = ("\x00", "a\ud800", "a\u202eb", "a\u200bb", "\ufeff", "a\u0007")
BAD_AMOUNTS: tuple[Any, ...] = (
    "0.005",
    "1E+30",
    "9" * 5_000,
    "١٢٣.٠٠",
    "１２.００",
    "1_000.00",
    " 12.00 ",
    "+1.00",
    "1,00",
    "-0.00",
    "1",
    "1.0",
    "",
    "NaN",
    "9" * 14 + ".00",
    12,
    12.5,
    True,
    None,
    [],
    {},
)
BAD_DECIMALS: tuple[Any, ...] = (
    "1E+3",
    "1_0",
    " 1",
    "+1",
    "1,5",
    "-0",
    "٣",
    "１",
    "",
    ".5",
    "5.",
    "NaN",
    "9" * 40,
    1,
    1.5,
    True,
    [],
)
BAD_DATES: tuple[Any, ...] = (
    "10000-01-01",
    "2026-02-30",
    "2026-11-23T10:00:00",
    "20261123",
    "2026-W48-1",
    "1899-12-31",
    "2201-01-01",
    "23/11/2026",
    "",
    1_795_000_000,
    [],
)
BAD_IDS: tuple[Any, ...] = (
    "1_0",
    "%00",
    "../x",
    "9" * 30,
    "prd_",
    "prd_01jdce8z0m9t3vx4k7qawb2r5n",
    "\x00",
    7,
    [],
)
BAD_TAX_NUMBERS = ("529.982.247-26", "11111111111", "00000000000000", "12.ABC.345/01DE-36", 52998224725)
INJECTED = ("company_id", "status", "version", "role", "actor", "recorded_at")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def doors() -> AsyncIterator[World]:
    """One world for the whole table: nothing here may change it."""
    world = await open_world()
    async with world.client:
        yield world


def path_of(form: Form) -> str:
    target = f"{{{form.meta.target}}}"
    return f"/v1{form.meta.route}".replace(target, str(form.target_example()))


async def refused(world: World, form: Form, body: object, status: int = 422) -> dict[str, Any]:
    """The own route and the generic door refuse alike, and nothing happened."""
    before = len(world.store.log)
    own = assert_problem(await world.post(path_of(form), body), status)
    target = {"target": form.target_example()} if form.target_in_path else {}
    generic = await world.post(f"/v1/commands/{form.topic}", target | {"body": body})
    assert assert_problem(generic, status)["code"] == own["code"]
    assert len(world.store.log) == before
    return own


def leaves(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from leaves(item, (*path, number))
    else:
        yield path, value


def spoiled(body: object, path: tuple[str | int, ...], value: object) -> Any:
    """A copy with another value at one place."""
    copy: Any = json.loads(json.dumps(body))
    inside = copy
    for part in path[:-1]:
        inside = inside[part]
    inside[path[-1]] = value
    return copy


def bad_values(path: tuple[str | int, ...], valid: object) -> tuple[Any, ...]:
    """What cannot stand at this place, by what stands there in the example."""
    name = str(path[-1])
    if isinstance(valid, bool):
        return ("true", 1, 0, [], {})
    if isinstance(valid, int):
        return ("1", 1.5, True, 10**40, -1, [])
    if name == "amount" and path[-2:] != ("amount",) and str(valid).count(".") == 1:
        return BAD_AMOUNTS
    if name in ("quantity", "unit_price", "unit_cost", "price") or name.endswith("_pct"):
        return BAD_DECIMALS
    if isinstance(valid, str) and valid == "2026-11-23":
        return BAD_DATES
    if name.endswith("_id"):
        return BAD_IDS
    if name == "tax_number":
        return BAD_TAX_NUMBERS
    return (*BAD_TEXT, "x" * 5_000, 1, 1.5, True, [], {}, " ", "")


@pytest.mark.parametrize("topic", TOPICS)
async def test_the_documented_example_can_be_read(doors: World, topic: str) -> None:
    form = forms()[topic]
    answer = await doors.post(f"{path_of(form)}?dry_run=true", form.example())
    # Whether there is such a delivery is looked up before it is decided, and these doors have no database.
    understood = (503,) if topic == "webhooks.redeliver" else (200, 404, 409, 422)
    assert answer.status_code in understood, answer.text
    if answer.status_code == 422:
        assert "errors" not in answer.json(), answer.text


@pytest.mark.parametrize("topic", TOPICS)
async def test_every_field_refuses_what_it_cannot_be(doors: World, topic: str) -> None:
    form = forms()[topic]
    body = form.example()
    for path, valid in leaves(body):
        for value in bad_values(path, valid):
            problem = await refused(doors, form, spoiled(body, path, value))
            pointers = [error["pointer"] for error in problem["errors"]]
            assert pointers == ["/" + "/".join(map(str, path))], (value, problem)


@pytest.mark.parametrize("topic", TOPICS)
async def test_unknown_and_injected_fields_are_refused(doors: World, topic: str) -> None:
    form = forms()[topic]
    body = form.example()
    for name in (*INJECTED, MARK, "constructor", "__class__", ""):
        if name in form.model.model_fields:
            continue
        problem = await refused(doors, form, body | {name: MARK})
        assert problem["code"] == "unknown-field"
        assert MARK not in json.dumps(problem)
    for name, value in body.items():
        nested = value[0] if isinstance(value, list) else value
        if isinstance(nested, dict):
            worse = nested | {"company_id": MARK}
            problem = await refused(doors, form, body | {name: [worse] if isinstance(value, list) else worse})
            assert problem["code"] == "unknown-field"


@pytest.mark.parametrize("topic", TOPICS)
async def test_fields_that_are_needed_are_asked_for(doors: World, topic: str) -> None:
    form = forms()[topic]
    for name, field in form.model.model_fields.items():
        if field.is_required():
            body = {key: value for key, value in form.example().items() if key != name}
            problem = await refused(doors, form, body)
            assert problem["errors"][0] | {"message": ""} == {
                "pointer": f"/{name}",
                "code": "required",
                "message": "",
            }


@pytest.mark.parametrize("topic", TOPICS)
async def test_a_body_that_is_not_one_json_object(doors: World, topic: str) -> None:
    path = path_of(forms()[topic])
    before = len(doors.store.log)
    for raw in MALFORMED:
        assert_problem(await doors.post(path, None, raw=raw), 400, "malformed-json")
    for raw in (b'{"a":1,"a":1}', b'{"a":{"b":1,"b":2}}', b'{"\\u0061":1,"a":2}'):
        assert_problem(await doors.post(path, None, raw=raw), 400, "duplicate-key")
    for raw in (b"[]", b'"x"', b"null", b"1", b"true"):
        assert_problem(await doors.post(path, None, raw=raw), 422, "validation-failed")
    assert len(doors.store.log) == before


@pytest.mark.parametrize("topic", TOPICS)
async def test_keys_formats_and_parameters(doors: World, topic: str) -> None:
    form = forms()[topic]
    path, body, good = path_of(form), form.example(), doors.headers()
    raw = json.dumps(body).encode()

    async def send(
        headers: httpx2.Headers | dict[str, str] | list[tuple[str, str]], to: str = path
    ) -> httpx2.Response:
        return await doors.client.post(to, content=raw, headers=headers)

    keyless = {name: value for name, value in good.items() if name != "Idempotency-Key"}
    for bad in ({}, *({"Idempotency-Key": key} for key in ("", "x" * 256, "a b", "a\tb"))):
        assert_problem(await send(keyless | bad), 400, "idempotency-key-required")
    doubled = [*keyless.items(), ("Idempotency-Key", "a"), ("Idempotency-Key", "a")]
    assert_problem(await send(doubled), 400, "idempotency-key-required")
    latin = [*((n.encode(), v.encode()) for n, v in keyless.items()), (b"Idempotency-Key", b"\xe9")]
    assert_problem(await send(latin), 400, "idempotency-key-required")  # type: ignore[arg-type]

    for media in (
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "",
        "application/json; charset=utf-16",
    ):
        assert_problem(await send(good | {"Content-Type": media}), 415, "unsupported-media-type")
    for encoding in ("gzip", "br", "deflate", "identity, gzip"):
        assert_problem(await send(good | {"Content-Encoding": encoding}), 415, "unsupported-media-type")
    for accept in ("text/html", "application/xml", "application/json;q=0"):
        assert_problem(await send(good | {"Accept": accept}), 406, "not-acceptable")
    for version in ("7", 'W/"7"', '"x"', '"1", "2"', '"99999999999"', ""):
        assert_problem(await send(good | {"If-Match": version}), 400, "malformed-header")
    for query in ("dryrun=true", "dry_run=true&x=1", "company_id=1"):
        assert_problem(await send(good, f"{path}?{query}"), 400, "filter-unknown")
    for query in ("dry_run=1", "dry_run=true&dry_run=true", "dry_run="):
        assert_problem(await send(good, f"{path}?{query}"), 400, "filter-invalid")


@pytest.mark.parametrize("topic", [topic for topic in TOPICS if forms()[topic].target_in_path])
async def test_impossible_things_are_not_found(doors: World, topic: str) -> None:
    form = forms()[topic]
    template = f"/v1{form.meta.route}"
    before = len(doors.store.log)
    for text in ("1_0", "%00", "..%2f", "9" * 30, "%F0%9F%92%A9", "a%0Ab", "x" * 3_000, "%ff", "%ED%A0%80"):
        answer = await doors.post(template.replace(f"{{{form.meta.target}}}", text), form.example())
        body = assert_problem(answer, answer.status_code)
        # An account's code is text of the company's own choosing, so many more of them are possible.
        assert body["status"] == 404 or form.meta.target == "code", body
    assert len(doors.store.log) == before


async def test_too_large_is_refused_before_it_is_read(doors: World) -> None:
    path = "/v1/products"
    big = b'{"sku":"' + b"x" * BODY_BYTES_MAX + b'"}'
    assert_problem(await doors.post(path, None, raw=big), 413, "payload-too-large")

    sent = 0

    async def trickle() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b" " * 16_384

    answer = await doors.client.post(path, content=trickle(), headers=doors.headers())
    assert_problem(answer, 413, "payload-too-large")
    assert sent < 20


async def test_money_has_a_cap_also_as_a_sum(doors: World) -> None:
    over = await doors.post("/v1/products", {"sku": "A", "name": "A", "price": "9999999999999"})
    assert_problem(over, 422)
    customer = (await doors.post("/v1/parties", {"name": "Bia"})).json()["resource"]["id"]
    line = {"kind": "freight", "unit_price": "900000000000"}
    sale = {"customer_id": customer, "lines": [line] * 12}
    assert_problem(await doors.post("/v1/sales", sale), 422, "amount-out-of-range")


async def test_alphanumeric_tax_numbers_are_taken_in_either_case(doors: World) -> None:
    answer = await doors.post("/v1/parties", {"name": "Boa Vista", "tax_number": "12.abc.345/01de-35"})
    assert answer.status_code == 201, answer.text


async def test_a_hundred_thousand_lines_cost_little(doors: World) -> None:
    customer = "pty_01JDCE8Z0M9T3VX4K7QAWB2R5N"
    raw = b'{"customer_id":"' + customer.encode() + b'","lines":[' + b"{}," * 80_000 + b"{}]}"
    assert len(raw) < BODY_BYTES_MAX
    assert_problem(await doors.post("/v1/sales", None, raw=raw), 422)
