"""Which company runs the installation: its first. Everybody can make another one, and owns it then."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_IS_HOME = text("SELECT read.home() = CAST(:company AS uuid)")


async def is_home(connection: AsyncConnection, company_id: UUID) -> bool:
    """Whether it is this one; no company is while nothing has been recorded."""
    return bool((await connection.execute(_IS_HOME, {"company": str(company_id)})).scalar_one())
