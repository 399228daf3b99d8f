"""Who may come in, and what they may do: tokens, companies, roles."""

import json
import time
from base64 import urlsafe_b64encode
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.permissions import EVERYONE, ROLES, allows
from api.routes import gates_of, routes_of
from tests.doors.world import NOW, PASSWORD, World, assert_problem, public

pytestmark = pytest.mark.asyncio

PUBLIC = {
    "/.well-known/jwks.json",
    "/docs",
    "/docs/{name}",
    "/livez",
    "/metrics",
    "/openapi.json",
    "/problems",
    "/problems/{code}",
    "/readyz",
    "/startupz",
    "/v1/auth/login",
}


async def test_every_route_names_a_permission_but_the_few_public_ones(world: World) -> None:
    open_routes = set()
    for route in routes_of(world.app):
        permissions = {gate.permission for gate in gates_of(route)}
        assert permissions, f"{route.path} has no gate"
        if permissions == {None}:
            open_routes.add(route.path)
    assert open_routes == PUBLIC


async def test_every_permission_is_somebodys(world: World) -> None:
    named = {g.permission for r in routes_of(world.app) for g in gates_of(r) if g.permission}
    for permission in named:
        assert allows(ROLES.keys() - {"owner"}, permission), f"only an owner may {permission}"


def signed(world: World, claims: dict[str, Any], headers: dict[str, Any], key: Any = None) -> str:
    return jwt.encode(claims, key or world.keys[0], algorithm="EdDSA", headers=headers)


def good(world: World) -> tuple[dict[str, Any], dict[str, Any]]:
    """The claims and headers of a good token, to be spoiled."""
    token = world.token()
    claims = jwt.decode(token, options={"verify_signature": False})
    return claims, jwt.get_unverified_header(token)


def bad_tokens(world: World) -> dict[str, str]:
    claims, headers = good(world)
    now = int(NOW.timestamp())
    without = {f"no {name}": {k: v for k, v in claims.items() if k != name} for name in claims}
    changed: dict[str, dict[str, Any]] = {
        "expired": claims | {"iat": now - 700, "exp": now - 100},
        "from the future": claims | {"iat": now + 60, "exp": now + 120},
        "too long-lived": claims | {"exp": now + 601},
        "audience": claims | {"aud": "somebody-else"},
        "issuer": claims | {"iss": "somebody-else"},
        "subject": claims | {"sub": "1"},
        "unknown subject": claims | {"sub": public("usr", uuid4())},
        "text times": claims | {"exp": str(now + 60)},
        **without,
    }
    tokens = {name: signed(world, spoiled, headers) for name, spoiled in changed.items()}
    none = urlsafe_b64encode(json.dumps({**headers, "alg": "none"}).encode()).decode().rstrip("=")
    _, payload, signature = world.token().split(".")
    tokens |= {
        "none": f"{none}.{payload}.",
        "hmac with the public key": jwt.encode(
            claims, "x" * 32, algorithm="HS256", headers=headers | {"alg": "HS256"}
        ),
        "other key": signed(world, claims, headers, Ed25519PrivateKey.generate()),
        "other kid": signed(world, claims, headers | {"kid": "x"}),
        "wrong type": signed(world, claims, headers | {"typ": "JWT"}),
        "refresh type": signed(world, claims, headers | {"typ": "rt+jwt"}),
        "cut": f"{payload}.{signature}",
        "20 KB": "a" * 20_000,
        "nonsense": "x",
        "empty": "",
    }
    return tokens


async def test_every_bad_token_gets_the_same_answer(world: World) -> None:
    bodies = set()
    for name, token in bad_tokens(world).items():
        for path in ("/v1/me", "/v1/commands/cmd_01JDCE8Z0M9T3VX4K7QAWB2R5N"):
            answer = await world.client.get(path, headers={"Authorization": f"Bearer {token}"})
            body = assert_problem(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"] == "Bearer", name
            bodies.add(json.dumps({k: v for k, v in body.items() if k not in ("request_id", "instance")}))
    assert len(bodies) == 1


async def test_other_ways_to_say_who_one_is(world: World) -> None:
    token = world.token()
    for header in ("", "Bearer", f"Basic {token}", f"Bearer  {token}", token):
        assert_problem(await world.client.get("/v1/me", headers={"Authorization": header}), 401)
    assert_problem(await world.client.get("/v1/me"), 401)
    assert_problem(await world.client.get(f"/v1/me?access_token={token}"), 401)
    twice = [("Authorization", f"Bearer {token}")] * 2
    assert_problem(await world.client.get("/v1/me", headers=twice), 401)
    assert (await world.client.get("/v1/me", headers=twice[:1])).status_code == 200


async def test_every_command_asks_who_and_whether_they_may(world: World) -> None:
    nobody = world.people.add("rui@example.com", (world.company_id, "no-such-role"))
    for route in routes_of(world.app):
        if "POST" not in (route.methods or ()) or route.path == "/v1/auth/login":
            continue
        answer = await world.client.post(route.path, content=b"{}", headers={"Idempotency-Key": "a"})
        assert_problem(answer, 401, "unauthenticated")
        if route.path.startswith("/v1/commands"):
            continue
        (gate,) = gates_of(route)
        refused = await world.client.post(route.path, content=b"", headers=world.headers(nobody))
        assert assert_problem(refused, 403, "permission-denied")["params"] == {"permission": gate.permission}


async def test_every_question_asks_who_and_whether_they_may(world: World) -> None:
    nobody = world.people.add("rui@example.com", (world.company_id, "no-such-role"))
    for route in routes_of(world.app):
        for gate in gates_of(route):
            if "GET" not in (route.methods or ()) or gate.permission in (None, EVERYONE):
                continue
            assert_problem(await world.client.get(route.path), 401, "unauthenticated")
            refused = assert_problem(await world.get(route.path, nobody), 403, "permission-denied")
            assert refused["params"] == {"permission": gate.permission}


async def test_a_token_ends_with_its_time_its_user_and_a_sign_out(world: World) -> None:
    headers = {"Authorization": f"Bearer {world.token()}"}
    assert (await world.client.get("/v1/me", headers=headers)).status_code == 200
    world.people.change(world.owner, is_disabled=True)
    assert_problem(await world.client.get("/v1/me", headers=headers), 401)
    world.people.change(world.owner, is_disabled=False, tokens_valid_from=NOW + timedelta(seconds=2))
    assert_problem(await world.client.get("/v1/me", headers=headers), 401)
    world.people.change(world.owner, tokens_valid_from=NOW)
    assert (await world.client.get("/v1/me", headers=headers)).status_code == 200
    world.clock.now += timedelta(minutes=10)
    assert_problem(await world.client.get("/v1/me", headers=headers), 401)


async def test_tokens_of_the_key_before_still_count(world: World) -> None:
    claims, headers = good(world)
    kids = [key["kid"] for key in (await world.client.get("/.well-known/jwks.json")).json()["keys"]]
    assert headers["kid"] == kids[0]
    older = signed(world, claims, headers | {"kid": kids[1]}, world.keys[1])
    answer = await world.client.get("/v1/me", headers={"Authorization": f"Bearer {older}"})
    assert answer.status_code == 200


async def test_the_published_keys_have_no_private_half(world: World) -> None:
    for key in (await world.client.get("/.well-known/jwks.json")).json()["keys"]:
        assert key.keys() == {"kty", "crv", "x", "kid", "use", "alg"}


async def test_a_member_of_two_companies_says_which(world: World) -> None:
    other = uuid4()
    both = world.people.add("bia@example.com", (world.company_id, "owner"), (other, "auditor"))
    here = (await world.get("/v1/me", both)).json()
    assert here["company"]["id"] == public("cmp", world.company_id)
    there = (await world.get("/v1/me", both, Ccontrol_Company=public("cmp", other))).json()
    assert (there["company"]["id"], there["company"]["roles"]) == (public("cmp", other), ["auditor"])
    assert len(there["companies"]) == 2
    for stranger in (public("cmp", uuid4()), "1", "%00", "cmp_"):
        refused = await world.get("/v1/me", both, Ccontrol_Company=stranger)
        assert_problem(refused, 403, "company-mismatch")


async def test_things_of_another_company_are_not_there(world: World) -> None:
    product = (await world.post("/v1/products", {"sku": "A", "name": "A"})).json()["resource"]
    stranger = world.people.add("rui@example.com", (uuid4(), "owner"))
    answer = await world.post(
        f"{product['url']}/classify", {"category": "X"}, headers=world.headers(stranger)
    )
    assert_problem(answer, 404, "not-found")


async def test_a_suspended_company_takes_no_commands_but_the_one_that_helps(world: World) -> None:
    company = f"/v1/companies/{public('cmp', world.company_id)}"
    assert (await world.post(f"{company}/suspend", {"reason": "inadimplência"})).status_code == 200
    refused = await world.post("/v1/products", {"sku": "A", "name": "A"})
    assert_problem(refused, 403, "company-is-suspended")
    assert (await world.post(f"{company}/reinstate", {"reason": "pago"})).status_code == 200
    assert (await world.post("/v1/products", {"sku": "A", "name": "A"})).status_code == 201


async def sign_in(world: World, email: str, password: str) -> Any:
    body = {"email": email, "password": password}
    return await world.client.post("/v1/auth/login", json=body)


async def test_signing_in_gives_a_token_that_works(world: World) -> None:
    answer = await sign_in(world, " PESSOA@example.com ", PASSWORD)
    body = answer.json()
    assert answer.status_code == 200, body
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 600)
    assert body["company_id"] == public("cmp", world.company_id)
    assert answer.headers["cache-control"] == "no-store"
    me = await world.client.get("/v1/me", headers={"Authorization": f"Bearer {body['access_token']}"})
    assert me.json()["user"] == body["user"]


async def test_a_wrong_password_looks_like_a_wrong_name(world: World) -> None:
    gone = world.people.add("rui@example.com")
    world.people.users[gone] = replace(world.people.users[gone], is_disabled=True)
    bodies, times = set(), []
    for email, password in (
        ("pessoa@example.com", "wrong"),
        ("nobody@example.com", PASSWORD),
        ("rui@example.com", PASSWORD),
        ("a\x00b@example.com", PASSWORD),
    ):
        started = time.perf_counter()
        answer = await sign_in(world, email, password)
        times.append(time.perf_counter() - started)
        body = assert_problem(answer, 401, "unauthenticated")
        bodies.add(json.dumps({k: v for k, v in body.items() if k not in ("request_id", "instance")}))
    assert len(bodies) == 1
    # All of them hashed something.
    assert min(times) > max(times) / 20


async def test_guessing_is_slowed_down(world: World) -> None:
    for _ in range(5):
        assert_problem(await sign_in(world, "pessoa@example.com", "wrong"), 401)
    slowed = await sign_in(world, "pessoa@example.com", PASSWORD)
    assert_problem(slowed, 429, "rate-limited")
    assert 0 < int(slowed.headers["retry-after"]) <= 60
    assert_problem(await sign_in(world, "nobody@example.com", "wrong"), 401)


async def test_the_right_password_is_no_guess(world: World) -> None:
    for _ in range(8):
        assert (await sign_in(world, "pessoa@example.com", PASSWORD)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [{}, {"email": "pessoa@example.com"}, {"email": 1, "password": []}, [], {"email": "a", "password": "b"}],
)
async def test_signing_in_needs_both(world: World, body: object) -> None:
    assert_problem(await world.client.post("/v1/auth/login", json=body), 422)
