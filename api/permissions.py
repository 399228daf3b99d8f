"""Who may do what: static roles as lists of patterns over `<area>.<what>`.

Every command and every query names one permission. Roles add up; nothing takes away.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import lru_cache

EVERYONE = "session.read"
"""What anybody who is signed in may: see who they are."""

_CLERK = (
    "sales.write",
    "sales.confirm",
    "sales.read",
    "parties.write",
    "parties.read",
    "catalog.read",
    "stock.read",
    "settlement.settle",
    "settlement.read",
    "treasury.read",
)
_MANAGER = (
    *_CLERK,
    "sales.*",
    "parties.*",
    "catalog.*",
    "stock.*",
    "settlement.*",
    "treasury.*",
    "ledger.read",
    "reports.read",
    "companies.read",
)
_ACCOUNTANT = (
    "ledger.*",
    "settlement.*",
    "treasury.*",
    "reports.read",
    "sales.read",
    "parties.read",
    "catalog.read",
    "stock.read",
    "companies.read",
    "audit.read",
)

ROLES: dict[str, tuple[str, ...]] = {
    "clerk": _CLERK,
    "manager": _MANAGER,
    "accountant": _ACCOUNTANT,
    "auditor": ("*.read",),
    "ops": ("ops.*", "audit.read", "companies.read"),
    "admin": (*_MANAGER, "companies.*", "users.*", "ops.*", "audit.read", "webhooks.*"),
    "owner": ("*",),
    "integrator": (
        "catalog.*",
        "parties.write",
        "parties.read",
        "sales.write",
        "sales.confirm",
        "sales.read",
        "stock.*",
        "settlement.settle",
        "settlement.read",
        "treasury.read",
        "webhooks.*",
    ),
}
"""The roles and what each may; `*` stands for anything."""


def allows(roles: Iterable[str], permission: str) -> bool:
    """Whether any of the roles may do this."""
    return permission == EVERYONE or any(_role_allows(role, permission) for role in roles)


# Roles times permissions is small and fixed; the bound only says so.
@lru_cache(maxsize=4_096)
def _role_allows(role: str, permission: str) -> bool:
    return any(fnmatchcase(permission, pattern) for pattern in ROLES.get(role, ()))
