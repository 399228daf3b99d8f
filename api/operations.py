"""What operators may do to projections, as the doors ask for it; whoever starts the process gives it.

The projections themselves are a room these doors do not look into: what comes back is JSON already.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Protocol
from uuid import UUID

from pydantic import Field
from starlette.requests import Request

from api.auth import Caller, require
from api.problems import Problem
from api.services import services_of
from read_model.home import is_home

# Something, on one line.
Reason = Annotated[
    str, Field(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$")
]
Told = dict[str, Any]
Act = Literal["rebuild", "compare", "promote", "rollback"]


class Operations(Protocol):
    """Raises Problem where something cannot be."""

    async def projections(self) -> list[Told]:
        """Everything that is known of every projection."""
        ...

    async def measure(self) -> None:
        """Set the gauges of this process."""
        ...

    async def pause(self, name: str, reason: str, actor: str) -> None: ...

    async def resume(self, name: str, reason: str | None, actor: str) -> None: ...

    async def skip(
        self, name: str, partition: int | None, position: int, reason: str, actor: str, *, break_glass: bool
    ) -> int: ...

    async def ask(self, act: Act, name: str, options: Mapping[str, Any], actor: str) -> Told:
        """Ask for long work; the job."""
        ...

    async def job(self, job_id: UUID) -> Told | None: ...

    async def jobs(self, limit: int, projection: str | None = None) -> list[Told]:
        """The latest first."""
        ...

    async def cancel(self, job_id: UUID) -> Told | None: ...


async def admit_operator(request: Request, permission: str) -> tuple[Caller, Operations]:
    """An operator, and what they may operate; otherwise 401 or 403.

    Projections serve every company. Everybody can make a company and owns it then, so a role counts here only
    in the company that runs the installation.
    """
    caller = await require(request, permission)
    if request.scope["query_string"]:
        # None of these doors has a filter: one that is asked for must not seem to have been used.
        raise Problem("filter-unknown", params={"known": "–"})
    operations = services_of(request).operations
    if operations is None:
        raise Problem("dependency-down", headers={"Retry-After": "5"})
    await require_home(request, caller, permission)
    return caller, operations


async def require_home(request: Request, caller: Caller, permission: str) -> None:
    """403 unless they work in the company that runs the installation."""
    async with services_of(request).engine.connect() as connection:
        if not await is_home(connection, caller.company_id):
            raise Problem("permission-denied", params={"permission": permission})
