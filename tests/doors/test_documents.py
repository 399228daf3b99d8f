"""What the doors say about themselves: OpenAPI, problem pages, the documentation page, readiness, numbers."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

import api
from api.command_doors import forms
from api.field_words import PORTUGUESE
from api.problem_kinds import KINDS
from api.problem_pages import all_kinds
from api.problems import refusal_kinds
from tests.doors.world import World, assert_problem
from write_model.values.invalid import CODES

pytestmark = pytest.mark.asyncio

_HTTP = {"get", "post", "put", "patch", "delete"}


async def document_of(world: World) -> dict[str, Any]:
    answer = await world.client.get("/openapi.json")
    assert answer.status_code == 200
    return dict(answer.json())


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert method in _HTTP
            yield path, method, operation


def sources(room: str = "api") -> list[str]:
    return [module.read_text() for module in (Path(api.__path__[0]).parent / room).rglob("*.py")]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref":
                yield item
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


async def test_every_reference_leads_somewhere_and_every_operation_has_one_name(world: World) -> None:
    document = await document_of(world)
    assert document["openapi"].startswith("3.1")
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) <= known
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names))
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema | {"$schema": "https://json-schema.org/draft/2020-12/schema"})


async def test_path_parameters_are_described(world: World) -> None:
    for path, _, operation in operations(await document_of(world)):
        wanted = set(re.findall(r"{(\w+)}", path))
        described = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
        assert wanted == described, path


async def test_every_command_has_an_example_that_fits_its_schema(world: World) -> None:
    document = await document_of(world)
    for form in forms().values():
        operation = document["paths"][f"/v1{form.meta.route}"]["post"]
        content = operation["requestBody"]["content"]["application/json"]
        whole = {**content["schema"], "components": document["components"]}
        validator = jsonschema_rs.validator_for(whole)
        assert validator.is_valid(content["example"]), (form.topic, content["example"])
        assert not validator.is_valid(content["example"] | {"no_such_field": 1})
        assert {"200", "401", "403", "404", "409", "412", "422"} <= operation["responses"].keys()
        assert any(p["name"] == "Idempotency-Key" and p["required"] for p in operation["parameters"])


async def test_the_answer_of_a_command_fits_its_schema(world: World) -> None:
    document = await document_of(world)
    answer = await world.post("/v1/parties", {"name": "Bia"})
    schema = {"$ref": "#/components/schemas/CommandAnswer", "components": document["components"]}
    jsonschema_rs.validate(schema, answer.json())
    problem = await world.post("/v1/parties", {"name": 1})
    schema = {"$ref": "#/components/schemas/Problem", "components": document["components"]}
    jsonschema_rs.validate(schema, problem.json())


async def test_public_operations_say_that_they_are(world: World) -> None:
    document = await document_of(world)
    public = {path for path, _, operation in operations(document) if operation.get("security") == []}
    assert public == {
        "/v1/auth/login",
        "/.well-known/jwks.json",
        "/livez",
        "/readyz",
        "/startupz",
        "/metrics",
    }
    assert document["security"] == [{"bearer": []}]


async def test_every_problem_has_a_page_and_words_in_both_languages(world: World) -> None:
    assert not KINDS.keys() & refusal_kinds().keys() - {"not-found", "state-conflict"}
    for code, kind in all_kinds().items():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code)
        assert kind.pt
        assert kind.en
        assert kind.pt != kind.en
        answer = await world.client.get(f"/problems/{code}")
        assert answer.status_code == 200
        assert code in answer.text
    assert (await world.client.get("/problems")).text.count("<li>") == len(all_kinds())
    assert_problem(await world.client.get("/problems/no-such-code"), 404, "not-found")


async def test_every_code_raised_in_the_doors_is_registered(world: World) -> None:
    raised = {code for text in sources() for code in re.findall(r'Problem\(\s*"([a-z-]+)"', text)}
    assert raised <= KINDS.keys()


async def test_every_field_error_has_words_in_portuguese(world: World) -> None:
    raised = {c for text in sources() for c in re.findall(r'field_error\([^,]+, "([a-z-]+)"', text)}
    raised |= {c for text in sources("write_model") for c in re.findall(r'Invalid\(\s*"([a-z-]+)"', text)}
    assert raised | CODES <= PORTUGUESE.keys()
    wrong = {"name": ""}
    english = await world.post("/v1/parties", wrong, headers=world.headers(Accept_Language="en"))
    assert english.json()["errors"][0]["message"] == "The text is too short."
    portuguese = await world.post("/v1/parties", wrong)
    assert portuguese.json()["errors"][0]["message"] == "O texto é curto demais."


async def test_problems_speak_the_language_of_the_client(world: World) -> None:
    english = await world.client.get("/v1/nothing", headers={"Accept-Language": "fr, en;q=0.8, pt;q=0.1"})
    assert assert_problem(english, 404)["title"] == "Not found"
    assert english.headers["content-language"] == "en"
    for header in ("", "pt-PT", "de", "x" * 5_000, ";;;q=,", "en;q=0"):
        other = await world.client.get("/v1/nothing", headers={"Accept-Language": header})
        assert assert_problem(other, 404)["title"] == "Não encontrado"


async def test_the_documentation_loads_nothing_from_elsewhere(world: World) -> None:
    page = await world.client.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    for name in ("docs.js", "docs.css"):
        assert f"/docs/{name}" in page.text
        part = await world.client.get(f"/docs/{name}")
        assert part.status_code == 200
        assert "://" not in part.text
    assert "://" not in page.text
    for other in ("docs.py", "..%2fapp.py", "%00"):
        assert_problem(await world.client.get(f"/docs/{other}"), 404)


async def test_every_answer_has_the_safe_headers(world: World) -> None:
    for path in ("/livez", "/v1/me", "/nothing", "/docs"):
        headers = (await world.client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["request-id"].startswith("req_")
        assert "content-security-policy" in headers
        assert "strict-transport-security" not in headers
        assert "access-control-allow-origin" not in headers
    https = await world.client.get("https://doors/livez")
    assert https.headers["strict-transport-security"]


async def test_a_client_may_bring_its_own_request_id(world: World) -> None:
    for given in ("req_01JDCE8Z0M9T3VX4K7QAWB2R5N", "shop-42"):
        answer = await world.client.get("/livez", headers={"Request-Id": given})
        assert answer.headers["request-id"] == given
    for bad in ("a b", "x" * 101, ""):
        answer = await world.client.get("/livez", headers={"Request-Id": bad})
        assert answer.headers["request-id"].startswith("req_")


async def test_methods_that_are_not_there(world: World) -> None:
    for method, path in (
        ("GET", "/v1/auth/login"),
        ("PUT", "/v1/me"),
        ("POST", "/livez"),
        ("TRACE", "/livez"),
    ):
        answer = await world.client.request(method, path, headers=world.headers())
        assert_problem(answer, 405, "method-not-allowed")
        assert answer.headers["allow"]
    assert_problem(await world.client.delete("/nothing"), 404)


async def test_a_defect_is_a_problem_and_says_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    said = "secret in the message"

    async def broken(*_: object) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(world.app.state.services.dispatcher, "execute", broken)
    answer = await world.post("/v1/products", {"sku": "A", "name": "A"})
    assert_problem(answer, 500, "internal-error")
    assert "secret" not in answer.text
    assert "secret" not in caplog.text
    assert "RuntimeError" in caplog.text


async def test_what_is_counted_names_nobody(world: World) -> None:
    product = (await world.post("/v1/products", {"sku": "A", "name": "A"})).json()["resource"]
    await world.post(f"{product['url']}/classify", {"category": 1})
    numbers = (await world.client.get("/metrics")).text
    assert 'ccontrol_commands_total{command="catalog.register_product",outcome="accepted"} 1.0' in numbers
    assert 'ccontrol_events_appended_total{type="catalog.product_registered"} 1.0' in numbers
    route = 'route="/v1/products/{product_id}/classify",status="422"'
    assert f'http_server_request_duration_seconds_count{{method="POST",{route}}} 1.0' in numbers
    assert product["id"] not in numbers
