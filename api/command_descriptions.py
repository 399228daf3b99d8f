"""How the doors of commands are described in OpenAPI: parameters, bodies, examples, answers."""

from typing import Any

from api.forms import Form

_REF = "#/components/schemas/"

_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "1 to 255 visible ASCII characters. Same key, same body: same answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "example": "7d0cf1a2-settle-1",
}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": 'The version the client has seen, as in `ETag`: `"4"`. 412 when it has moved.',
    "schema": {"type": "string", "pattern": '^"[0-9]{1,9}"$'},
}
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "description": "`return=minimal` for 204 without a body.",
    "schema": {"type": "string"},
}
_DRY_RUN = {
    "name": "dry_run",
    "in": "query",
    "description": "Decide for real, record nothing.",
    "schema": {"type": "boolean"},
}
_COMPANY = {
    "name": "Ccontrol-Company",
    "in": "header",
    "description": "For members of several companies: the one to work in.",
    "schema": {"type": "string", "pattern": "^cmp_[0-7][0-9A-HJKMNP-TV-Z]{25}$"},
}
_ENVELOPE: list[dict[str, Any]] = [_KEY, _IF_MATCH, _PREFER, _DRY_RUN, _COMPANY]

_ANSWER_HEADERS = {
    "ETag": {"schema": {"type": "string"}, "description": "The version afterwards."},
    "Consistency-Token": {
        "schema": {"type": "string"},
        "description": "Send it with the next query to see what was just done.",
    },
    "Location": {"schema": {"type": "string"}},
    "Idempotency-Replayed": {"schema": {"type": "string"}, "description": "`true` for a repeated request."},
}
_PROBLEM = {"content": {"application/problem+json": {"schema": {"$ref": f"{_REF}Problem"}}}}
_STATUSES = {
    400: "The request cannot be read",
    401: "Not signed in",
    403: "Not allowed",
    404: "There is no such thing in this company",
    406: "The answer is JSON only",
    409: "The state of the record, or of the books, forbids it",
    412: "The record has moved",
    413: "Too large",
    415: "Not JSON",
    422: "Fields or rules are not met",
    429: "Too many attempts",
    500: "A defect",
    503: "Try again",
    504: "Outcome unknown: retry with the same key",
}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems of a route; of a command without arguments."""
    return {status: {"description": _STATUSES[status], **_PROBLEM} for status in statuses or _STATUSES}


def description_of(form: Form) -> dict[str, Any]:
    """What FastAPI is told about the route of one command."""
    doc = (form.meta.command.__doc__ or "").strip()
    target = form.meta.target
    path = []
    if form.target_in_path:
        schema = form.target_schema()
        path = [
            {
                "name": target,
                "in": "path",
                "required": True,
                "schema": schema,
                "example": form.target_example(),
            }
        ]
    return _described(
        operation_id=form.topic,
        tag=form.meta.route.split("/")[1],
        summary=doc.splitlines()[0],
        description=f"{doc}\n\nPermission: `{form.meta.permission}`. Command: `{form.topic}`.",
        parameters=[*path, *_ENVELOPE],
        body=f"{_REF}{form.model.__name__}",
        example=form.example(),
        created="{" not in form.meta.route,
    )


def generic_description(*, batch: bool) -> dict[str, Any]:
    """What FastAPI is told about the doors for any command."""
    item: dict[str, Any] = {
        "target": "sal_01JDCE8Z0M9T3VX4K7QAWB2R5N",
        "body": {"payment_plan": []},
        "effective_date": "2026-11-23",
    }
    if not batch:
        topic = {"name": "topic", "in": "path", "required": True, "schema": {"type": "string"}}
        return _described(
            operation_id="commands.one",
            tag="commands",
            summary="Any command, by its name.",
            description="The same as the command's own route.",
            parameters=[topic | {"example": "sales.confirm_sale"}, *_ENVELOPE],
            body=f"{_REF}CommandItem",
            example=item,
            created=False,
        )
    whole = {"topic": "sales.confirm_sale", "idempotency_key": "import-7-1", **item}
    return _described(
        operation_id="commands.many",
        tag="commands",
        summary="One command, or up to 1,000.",
        description="Each with its own outcome, in order; or all of them or none when `atomic`.",
        parameters=[_KEY | {"required": False}, *_ENVELOPE[1:]],
        body={"anyOf": [{"$ref": f"{_REF}CommandItem"}, {"$ref": f"{_REF}Batch"}]},
        example={"atomic": False, "commands": [whole]},
        created=False,
    )


def shortcut_description(form: Form, *, target: str, schema: dict[str, Any]) -> dict[str, Any]:
    """What FastAPI is told about another way to a command, where the path says all there is to say."""
    doc = (form.meta.command.__doc__ or "").strip()
    path = {"name": target, "in": "path", "required": True, "schema": schema}
    return _described(
        operation_id=f"{form.topic}.by_{target}",
        tag=form.meta.route.split("/")[1],
        summary=doc.splitlines()[0],
        description=f"{doc}\n\nPermission: `{form.meta.permission}`. Command: `{form.topic}`.",
        parameters=[path, *_ENVELOPE],
        body={"type": "object", "additionalProperties": False},
        example={},
        created=False,
    )


def _described(
    *,
    operation_id: str,
    tag: str,
    summary: str,
    description: str,
    parameters: list[dict[str, Any]],
    body: str | dict[str, Any],
    example: Any,
    created: bool,
) -> dict[str, Any]:
    schema = {"$ref": body} if isinstance(body, str) else body
    answer = {
        "description": "Accepted",
        "headers": _ANSWER_HEADERS,
        "content": {"application/json": {"schema": {"$ref": f"{_REF}CommandAnswer"}}},
    }
    responses: dict[int | str, dict[str, Any]] = {200: answer, **problem_responses()}
    if created:
        responses[201] = answer | {"description": "Created"}
    responses[204] = {"description": "Accepted, without a body", "headers": _ANSWER_HEADERS}
    return {
        "operation_id": operation_id,
        "tags": [tag],
        "summary": summary,
        "description": description,
        "responses": responses,
        "openapi_extra": {
            "parameters": parameters,
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": schema, "example": example}},
            },
        },
    }
