"""The OpenAPI document: what FastAPI knows of the routes, and what our own doors know better."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.batches import Batch
from api.command_doors import forms
from api.command_items import CommandItem
from api.queries import Reads
from api.routes import gates_of, routes_of
from api.session import SignIn
from api.shapes import CommandAnswer, ProblemShape

_TEMPLATE = "#/components/schemas/{model}"
_METHODS = ("get", "post", "put", "patch", "delete")

_READ_PARAMETERS: list[dict[str, Any]] = [
    {
        "name": "Consistency-Token",
        "in": "header",
        "description": "The greatest token seen so far: the answer will show at least that.",
        "schema": {"type": "string", "pattern": "^ct1-[0-9A-Z]{7}-[0-9A-Z]{13}-[0-9a-f]{16}$"},
    },
    {
        "name": "Prefer",
        "in": "header",
        "description": "`wait=5` seconds at most; `handling=lenient` for a stale answer instead.",
        "schema": {"type": "string"},
    },
    {
        "name": "min_position",
        "in": "query",
        "description": "The same wait, by position.",
        "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
    },
    {
        "name": "Ccontrol-Company",
        "in": "header",
        "description": "For members of several companies: the one to work in.",
        "schema": {"type": "string", "pattern": "^cmp_[0-7][0-9A-HJKMNP-TV-Z]{25}$"},
    },
]
_PROBLEM = {"application/problem+json": {"schema": {"$ref": _TEMPLATE.format(model="Problem")}}}
_READ_PROBLEMS = {
    "400": "A parameter, cursor or token is not valid",
    "401": "Not signed in",
    "403": "Not allowed",
    "404": "There is no such thing in this company",
    "406": "Format not available",
    "409": "The history was restored: reload",
    "500": "A defect",
    "503": "The projections are behind the token; try again",
}


def document(app: FastAPI) -> dict[str, Any]:
    """Made once, and kept by the application."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            servers=[{"url": "/"}],
        )
        components = made.setdefault("components", {})
        components.setdefault("schemas", {}).update(_schemas())
        components["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
        }
        made["security"] = [{"bearer": []}]
        _describe_reads(app, made)
        _drop_the_frameworks_own_errors(made)
        app.openapi_schema = made
    return app.openapi_schema


def _schemas() -> dict[str, Any]:
    models: list[type[BaseModel]] = [form.model for form in forms().values()]
    models += [Batch, CommandItem, SignIn, CommandAnswer]
    pairs = [(model, "validation") for model in models]
    _, found = models_json_schema(pairs, ref_template=_TEMPLATE)  # type: ignore[arg-type]
    schemas: dict[str, Any] = found["$defs"]
    # Read as text and cleaned by hand, so pydantic has no name for it.
    problem = ProblemShape.model_json_schema(ref_template=_TEMPLATE)
    schemas.update(problem.pop("$defs", {}))
    return schemas | {"Problem": problem}


def _describe_reads(app: FastAPI, made: dict[str, Any]) -> None:
    for route in routes_of(app):
        if not any(isinstance(gate, Reads) for gate in gates_of(route)):
            continue
        operation = made["paths"].get(route.path_format, {}).get("get")
        if operation is None:
            continue
        operation.setdefault("parameters", []).extend(_READ_PARAMETERS)
        for status, description in _READ_PROBLEMS.items():
            operation["responses"].setdefault(status, {"description": description, "content": _PROBLEM})


def _drop_the_frameworks_own_errors(made: dict[str, Any]) -> None:
    for path in made["paths"].values():
        for method in _METHODS:
            responses = path.get(method, {}).get("responses", {})
            if "HTTPValidationError" in str(responses.get("422", "")):
                del responses["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        made["components"]["schemas"].pop(name, None)
