"""A command through its doors: its own route, the generic one, and a batch say the same."""

import asyncio
from uuid import uuid4

import pytest

from tests.doors.world import World, assert_problem, public

pytestmark = pytest.mark.asyncio

PRODUCT = {"sku": "CAFE-500", "name": "Café torrado 500 g", "price": "19.90"}


async def test_a_command_is_answered_with_what_happened(world: World) -> None:
    answer = await world.post("/v1/products", PRODUCT)

    assert answer.status_code == 201, answer.text
    body = answer.json()
    resource = body["resource"]
    assert resource["type"] == "product"
    assert resource["id"].startswith("prd_")
    assert resource["url"] == f"/v1/products/{resource['id']}" == answer.headers["location"]
    said = {event["type"]: event["summary"] for event in body["events"]}
    assert said["catalog.product_registered"] == "Produto CAFE-500 cadastrado: Café torrado 500 g"
    assert body["command_id"].startswith("cmd_")
    assert answer.headers["etag"] == f'"{resource["version"]}"'
    assert answer.headers["consistency-token"].startswith("ct1-0000001-")


async def test_sentences_come_in_the_language_of_the_client(world: World) -> None:
    answer = await world.post("/v1/products", PRODUCT, headers=world.headers(Accept_Language="en-GB"))
    assert answer.json()["events"][-1]["summary"] == "Product CAFE-500 registered: Café torrado 500 g"


async def test_the_same_request_again_is_the_same_answer_and_no_new_fact(world: World) -> None:
    headers = world.headers()
    first = await world.post("/v1/products", PRODUCT, headers=headers)
    count = len(world.store.log)
    second = await world.post("/v1/products", PRODUCT, headers=headers)

    assert (second.status_code, second.json()) == (first.status_code, first.json())
    assert second.headers["idempotency-replayed"] == "true"
    assert second.headers["consistency-token"] == first.headers["consistency-token"]
    assert "idempotency-replayed" not in first.headers
    assert len(world.store.log) == count


async def test_the_order_of_keys_does_not_make_another_request(world: World) -> None:
    headers = world.headers()
    await world.post("/v1/products", PRODUCT, headers=headers)
    again = await world.post("/v1/products", dict(reversed(PRODUCT.items())), headers=headers)
    assert again.headers["idempotency-replayed"] == "true"


async def test_a_key_cannot_be_used_for_something_else(world: World) -> None:
    headers = world.headers()
    await world.post("/v1/products", PRODUCT, headers=headers)
    other = await world.post("/v1/products", PRODUCT | {"price": "20.00"}, headers=headers)
    assert_problem(other, 422, "idempotency-key-reused")


async def test_a_refused_command_leaves_its_key_free(world: World) -> None:
    headers = world.headers()
    assert_problem(await world.post("/v1/products", PRODUCT | {"sku": ""}, headers=headers), 422)
    assert (await world.post("/v1/products", PRODUCT, headers=headers)).status_code == 201


async def test_twenty_at_once_with_one_key_have_one_effect(world: World) -> None:
    headers = world.headers()
    count = len(world.store.log)
    answers = await asyncio.gather(*(world.post("/v1/products", PRODUCT, headers=headers) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert len(world.store.log) - count == len(answers[0].json()["events"])


async def test_a_stale_version_is_refused_by_header_and_by_field(world: World) -> None:
    product = (await world.post("/v1/products", PRODUCT)).json()["resource"]
    path = f"{product['url']}/revise-price"
    stale = await world.post(path, {"price": "21.00"}, headers=world.headers(If_Match='"7"'))
    body = assert_problem(stale, 412, "version-conflict")
    assert body["conflict"] == {"your_version": 7, "current_version": 1}

    fresh = await world.post(path, {"price": "21.00"}, headers=world.headers(If_Match='"1"'))
    assert (fresh.status_code, fresh.headers["etag"]) == (200, '"2"')

    item = {"topic": "catalog.revise_price", "target": product["id"], "body": {"price": "22.00"}}
    by_field = await world.post("/v1/commands", item | {"expected_version": 1})
    assert_problem(by_field, 409, "version-differs")


async def test_a_rehearsal_decides_and_records_nothing(world: World) -> None:
    count = len(world.store.log)
    headers = world.headers()
    del headers["Idempotency-Key"]
    answer = await world.post("/v1/products?dry_run=true", PRODUCT, headers=headers)
    body = answer.json()
    assert answer.status_code == 200, body
    assert body["dry_run"] is True
    assert body["resource"]["id"] is None
    assert len(body["events"]) == 2
    assert len(world.store.log) == count

    refused = await world.post("/v1/products?dry_run=true", PRODUCT | {"price": "-1"}, headers=headers)
    assert_problem(refused, 422)


async def test_a_command_that_changes_nothing_says_so(world: World) -> None:
    product = (await world.post("/v1/products", PRODUCT)).json()["resource"]
    await world.post(f"{product['url']}/classify", {"category": "Bebidas"})
    again = await world.post(f"{product['url']}/classify", {"category": "Bebidas"})
    assert again.status_code == 200
    assert again.json()["events"] == []


async def test_a_client_may_want_no_body(world: World) -> None:
    answer = await world.post("/v1/products", PRODUCT, headers=world.headers(Prefer="return=minimal"))
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["location"].startswith("/v1/products/prd_")
    assert answer.headers["preference-applied"] == "return=minimal"


async def test_the_generic_door_is_the_same_door(world: World) -> None:
    headers = world.headers()
    own = await world.post("/v1/products", PRODUCT, headers=headers)
    generic = await world.post("/v1/commands/catalog.register_product", {"body": PRODUCT}, headers=headers)
    assert generic.json() == own.json()
    assert generic.headers["idempotency-replayed"] == "true"

    product = own.json()["resource"]["id"]
    item = {"target": product, "body": {"price": "21.00"}}
    revised = await world.post("/v1/commands/catalog.revise_price", item)
    assert revised.json()["resource"]["version"] == 2

    one = {
        "topic": "catalog.revise_price",
        "idempotency_key": str(uuid4()),
        **item,
        "body": {"price": "22.00"},
    }
    keyless = {name: value for name, value in world.headers().items() if name != "Idempotency-Key"}
    assert (await world.post("/v1/commands", one, headers=keyless)).json()["resource"]["version"] == 3


async def test_a_client_may_choose_the_id_of_a_new_thing(world: World) -> None:
    chosen = "prd_01JDCE8Z0M9T3VX4K7QAWB2R5N"
    answer = await world.post("/v1/products", PRODUCT | {"product_id": chosen})
    assert answer.json()["resource"]["id"] == chosen
    taken = await world.post("/v1/products", PRODUCT | {"product_id": chosen, "sku": "OUTRO"})
    assert_problem(taken, 409, "already-exists")


async def test_an_accepted_command_says_how_to_reverse_it(world: World) -> None:
    customer = (await world.post("/v1/parties", {"name": "Bia"})).json()["resource"]["id"]
    line = {"kind": "freight", "unit_price": "100"}
    sale = (await world.post("/v1/sales", {"customer_id": customer, "lines": [line]})).json()
    url = sale["resource"]["url"]
    assert sale["reverse"] == {"method": "POST", "href": f"{url}/cancel"}
    confirmed = (await world.post(f"{url}/confirm", {})).json()
    assert confirmed["reverse"] == {"method": "POST", "href": f"{url}/cancel"}

    bank = (await world.post("/v1/bank-accounts", {"name": "Itaú"})).json()["resource"]["id"]
    made = next(r.event for r in world.store.log if r.topic == "settlement.receivable_created")
    instalment = public("ins", made.instalments[0].instalment_id)  # type: ignore[attr-defined]
    payment = {
        "amount": {"amount": "40.00", "currency": "BRL"},
        "bank_account_id": bank,
        "paid_on": "2026-11-23",
    }
    settled = (await world.post(f"/v1/instalments/{instalment}/settle", payment)).json()
    assert settled["state"]["open_amount"] == {"amount": "60.00", "currency": "BRL"}
    href = settled["reverse"]["href"]
    assert href.startswith("/v1/settlements/set_")
    assert href.endswith("/reverse")
    undone = await world.post(href, {"reason": "pagamento devolvido"})
    assert undone.status_code == 200, undone.text
    twice = await world.post(href, {"reason": "de novo"})
    assert_problem(twice, 409, "settlement-already-reversed")


async def test_the_answer_to_a_payment_is_about_the_instalment_that_was_paid(world: World) -> None:
    customer = (await world.post("/v1/parties", {"name": "Bia"})).json()["resource"]["id"]
    half = {"method": "boleto", "due_date": "2026-12-01", "amount": {"amount": "50.00", "currency": "BRL"}}
    asked = {
        "customer_id": customer,
        "lines": [{"kind": "freight", "unit_price": "100"}],
        "payment_plan": [half] * 2,
    }
    sale = (await world.post("/v1/sales", asked)).json()
    await world.post(f"{sale['resource']['url']}/confirm", {})
    bank = (await world.post("/v1/bank-accounts", {"name": "Itaú"})).json()["resource"]["id"]
    made = next(r.event for r in world.store.log if r.topic == "settlement.receivable_created")
    for instalment in made.instalments:  # type: ignore[attr-defined]
        url = f"/v1/instalments/{public('ins', instalment.instalment_id)}/settle"
        settled = (await world.post(url, {"amount": half["amount"], "bank_account_id": bank})).json()
        assert settled["state"] == {"status": "settled", "open_amount": {"amount": "0.00", "currency": "BRL"}}


async def test_facts_are_never_deleted(world: World) -> None:
    sale = "/v1/sales/sal_01JDCE8Z0M9T3VX4K7QAWB2R5N"
    answer = await world.client.delete(sale, headers=world.headers())
    body = assert_problem(answer, 405, "immutable-record")
    assert [action["href"] for action in body["actions"]] == [f"{sale}/cancel"]


async def test_what_became_of_a_command_can_be_asked_later(world: World) -> None:
    done = (await world.post("/v1/products", PRODUCT)).json()
    found = await world.get(f"/v1/commands/{done['command_id']}")
    assert found.status_code == 200
    assert {name: found.json()[name] for name in done if name in found.json()} == done
    assert found.json()["outcome"] == "recorded"
    for other in ("cmd_01JDCE8Z0M9T3VX4K7QAWB2R5N", "1_0", "cmd_"):
        if other != "cmd_01JDCE8Z0M9T3VX4K7QAWB2R5N":
            assert_problem(await world.get(f"/v1/commands/{other}"), 404, "not-found")
    stranger = world.people.add("rui@example.com", (world.company_id, "clerk"))
    assert_problem(await world.get(f"/v1/commands/{done['command_id']}", stranger), 404)
