"""Signing in, seeing who one is, and the keys that prove it to others."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from api.accepts import require_format
from api.answers import JsonAnswer
from api.auth import chosen_membership, signed_in, unauthenticated
from api.command_descriptions import problem_responses
from api.door_routes import DoorRoute
from api.field_errors import problem_of_validation
from api.memberships import Directory, Membership, User
from api.passwords import LENGTH_MAX
from api.permissions import EVERYONE, ROLES
from api.problems import Problem
from api.services import services_of
from api.strict_json import read_body
from api.tokens import LIFETIME
from api.wire import STRICT
from write_model.values.identifiers import encode

router = APIRouter(route_class=DoorRoute, tags=["session"])

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/SignIn"},
                "example": {"email": "ana@boavista.example", "password": "correct horse battery"},
            }
        },
    },
    "security": [],
}


class SignIn(BaseModel):
    """Who wants to come in."""

    model_config = STRICT

    email: Annotated[str, Field(min_length=3, max_length=254)]
    password: Annotated[str, Field(min_length=1, max_length=LENGTH_MAX)]


class Login:
    """The endpoint of signing in: a wrong name gets the answer of a wrong password, as late."""

    permission = None

    async def __call__(self, request: Request) -> Response:
        """Count the attempt, check the password, write a token."""
        require_format(request)
        try:
            given = SignIn.model_validate(await read_body(request))
        except ValidationError as error:
            raise problem_of_validation(error) from None
        email, state = given.email.strip().lower(), request.app.state
        who = (request.client.host if request.client else "?", email)
        wait = await state.sign_ins.take(*who)
        if wait:
            raise Problem("rate-limited", headers={"Retry-After": str(wait)})
        directory: Directory = state.directory
        # A text that PostgreSQL cannot hold is nobody's address.
        user = await directory.by_email(email) if email.isprintable() else None
        usable = user if user is not None and not user.is_disabled else None
        is_right = await state.passwords.is_right(usable and usable.password_hash, given.password)
        if usable is None or not is_right:
            raise unauthenticated()
        await state.sign_ins.give_back(*who)
        directory.forget(usable.user_id)
        return await _welcome(request, directory, usable)


async def _welcome(request: Request, directory: Directory, user: User) -> Response:
    known = await directory.known(user.user_id)
    memberships = known[1] if known else ()
    default: UUID | None = memberships[0].company_id if memberships else None
    services = services_of(request)
    token = request.app.state.tokens.issue(
        user_id=user.user_id, company_id=default, token_id=services.ids.new(), now=services.clock()
    )
    return JsonAnswer(
        {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": int(LIFETIME.total_seconds()),
            "company_id": None if default is None else encode("cmp", default),
            "user": _user(user),
            "companies": [_company(membership) for membership in memberships],
        }
    )


class Me:
    """The endpoint that says who one is."""

    permission = EVERYONE

    async def __call__(self, request: Request) -> Response:
        """The user, the company at work, and what they may there."""
        (user, memberships), claims = await signed_in(request)
        require_format(request)
        here = chosen_membership(request, memberships, claims.company_id) if memberships else None
        roles = here.roles if here else frozenset()
        return JsonAnswer(
            {
                "user": _user(user),
                "company": None if here is None else _company(here),
                "companies": [_company(membership) for membership in memberships],
                "permissions": sorted({EVERYONE, *(p for role in roles for p in ROLES.get(role, ()))}),
            }
        )


class Jwks:
    """The endpoint of our public keys."""

    permission = None

    async def __call__(self, request: Request) -> Response:
        """All of them: those that sign, and those that signed until lately."""
        return JsonAnswer(request.app.state.tokens.jwks(), headers={"Cache-Control": "public, max-age=300"})


def _user(user: User) -> dict[str, Any]:
    return {"id": encode("usr", user.user_id), "email": user.email, "display_name": user.display_name}


def _company(membership: Membership) -> dict[str, Any]:
    return {
        "id": encode("cmp", membership.company_id),
        "name": membership.company_name,
        "roles": sorted(membership.roles),
        "time_zone": membership.time_zone,
        "suspended": membership.is_suspended,
    }


router.add_api_route(
    "/v1/auth/login",
    Login(),
    methods=["POST"],
    operation_id="session.login",
    summary="Sign in with an address and a password.",
    response_model=None,
    responses=problem_responses(400, 401, 406, 413, 415, 422, 429, 500, 503),
    openapi_extra=_BODY,
)
router.add_api_route(
    "/v1/me",
    Me(),
    methods=["GET"],
    operation_id="session.me",
    summary="Who am I, and what may I do?",
    response_model=None,
    responses=problem_responses(400, 401, 403, 406, 500, 503),
)
router.add_api_route(
    "/.well-known/jwks.json",
    Jwks(),
    methods=["GET"],
    operation_id="session.jwks",
    summary="The public keys of access tokens.",
    response_model=None,
    openapi_extra={"security": []},
)
