"""The first company and its owner; further companies and users from the command line.

Every step may be repeated: commands carry fixed idempotency keys and rows are inserted only when they are
missing. So a first start that is killed halfway is finished by the next one.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID, uuid5

from argon2 import PasswordHasher

from runtime.servers.process import write_private
from runtime.settings import Settings
from runtime.wiring import SystemIds, open_store, system_clock
from write_model.companies.company import RegisterCompany
from write_model.dispatch import Dispatcher
from write_model.ledger.chart_of_accounts import AdoptChart
from write_model.message import Actor, Command, Context
from write_model.store import connections
from write_model.store.store import Store
from write_model.values.identifiers import CompanyId, decode, encode
from write_model.values.tax_number import TaxNumber

FIRST_LOGIN = "first_login.json"
FIRST_COMPANY = "Minha Empresa"
FIRST_EMAIL = "owner@ccontrol.local"

SETUP = Actor("system", uuid5(UUID(int=0), "ccontrol.setup"))
"""Who registers companies: the installation itself."""


class OtherInstallation(Exception):
    """The database already has users that this state folder, and its keys, know nothing of."""


@dataclass(frozen=True, slots=True)
class FirstLogin:
    """How the owner of the first company signs in; `company_id` is in its public form."""

    email: str
    password: str
    company_id: str


async def ensure_first_company(settings: Settings) -> FirstLogin:
    """Make the first company and its owner, or what is missing of them.

    Raises OtherInstallation rather than adding a second owner to somebody else's database.
    """
    path = settings.state / FIRST_LOGIN
    login = _read(path)
    async with open_store(settings) as (store, dispatcher):
        if login is None:
            await _require_empty(settings)
            login = FirstLogin(FIRST_EMAIL, secrets.token_urlsafe(16), encode("cmp", SystemIds().new()))
            # Written before the company: if this start is killed, the next one goes on with the same ids.
            write_private(path, json.dumps(asdict(login)) + "\n")
        company_id = CompanyId(decode("cmp", login.company_id))
        await _register(
            settings, store, dispatcher, RegisterCompany(company_id=company_id, legal_name=FIRST_COMPANY)
        )
        await add_user(settings, company_id, login.email, login.password, ["owner"])
    return login


async def register_company(
    settings: Settings, name: str, *, owner_email: str, tax_number: TaxNumber | None = None
) -> CompanyId:
    """Register a further company, owned by a user who exists; raises LookupError when there is none."""
    async with open_store(settings) as (store, dispatcher):
        company_id = CompanyId(SystemIds().new())
        user_id = await _user_id(settings, owner_email)
        if user_id is None:
            raise LookupError("no user has this e-mail address")
        command = RegisterCompany(company_id=company_id, legal_name=name, tax_number=tax_number)
        await _register(settings, store, dispatcher, command)
        await _add_member(settings, company_id, user_id, ["owner"])
    return company_id


@dataclass(frozen=True, slots=True)
class Member:
    """A user of a company; `is_new` unless they belonged to it already, and then nothing changed."""

    user_id: UUID
    is_new: bool


async def add_user(
    settings: Settings, company_id: UUID, email: str, password: str, roles: Sequence[str]
) -> Member:
    """Let a person into a company with these roles; a user who exists keeps the password they have."""
    email = email.strip().lower()
    async with await connections.connect(settings.database_url, connections.APP) as connection:
        await connection.execute(
            "INSERT INTO ccontrol.users (user_id, email, password_hash, display_name) "
            "VALUES (%s, %s, %s, %s) ON CONFLICT (email) DO NOTHING",
            (SystemIds().new(), email, PasswordHasher().hash(password), email.partition("@")[0]),
        )
    user_id = await _user_id(settings, email)
    if user_id is None:
        raise LookupError("the user vanished while being added")
    return Member(user_id, await _add_member(settings, company_id, user_id, roles))


async def _register(
    settings: Settings, store: Store, dispatcher: Dispatcher, company: RegisterCompany
) -> None:
    """The company, its chart of accounts, and its line in the directory of companies."""
    for command in (company, AdoptChart()):
        await dispatcher.execute(command, _context(company.company_id, command))
    await _as_company(
        settings,
        company.company_id,
        "INSERT INTO ccontrol.companies_directory (company_id, partition, name, time_zone) "
        "VALUES (%s, %s, %s, 'America/Sao_Paulo') ON CONFLICT (company_id) DO NOTHING",
        (company.company_id, store.partition_of(company.company_id), company.legal_name),
    )


async def _add_member(settings: Settings, company_id: UUID, user_id: UUID, roles: Sequence[str]) -> bool:
    return await _as_company(
        settings,
        company_id,
        "INSERT INTO ccontrol.memberships (company_id, user_id, roles) VALUES (%s, %s, %s) "
        "ON CONFLICT (company_id, user_id) DO NOTHING",
        (company_id, user_id, list(roles)),
    )


async def _as_company(
    settings: Settings, company_id: UUID, statement: str, values: tuple[object, ...]
) -> bool:
    """One statement under the row level security of a company; whether it changed anything."""
    async with (
        await connections.connect(settings.database_url, connections.APP) as connection,
        connection.transaction(),
    ):
        await connection.execute("SELECT set_config('ccontrol.company', %s, true)", (str(company_id),))
        done = await connection.execute(statement.encode(), values)
    return done.rowcount > 0


async def _user_id(settings: Settings, email: str) -> UUID | None:
    async with await connections.connect(settings.database_url, connections.APP) as connection:
        found = await connection.execute(
            "SELECT user_id FROM ccontrol.users WHERE email = %s", (email.strip().lower(),)
        )
        row = await found.fetchone()
    return None if row is None else row[0]


async def _require_empty(settings: Settings) -> None:
    async with await connections.connect(settings.database_url, connections.APP) as connection:
        found = await connection.execute("SELECT count(*) FROM ccontrol.users")
        row = await found.fetchone()
    if row is not None and row[0]:
        raise OtherInstallation(
            "this database already has users; start with the state folder it was first started with, "
            "because its keys are there"
        )


def _context(company_id: UUID, command: Command) -> Context:
    now = system_clock()
    key = f"setup/{command.meta.topic}"
    return Context(
        company_id=company_id,
        actor=SETUP,
        command_id=SystemIds().new(),
        correlation_id=company_id,
        idempotency_key=key,
        # One fixed request per key: what was registered first stays, whatever the defaults become.
        body_hash=key.encode(),
        effective_date=now.date(),
        today=now.date(),
        channel="setup",
    )


def _read(path: Path) -> FirstLogin | None:
    try:
        return FirstLogin(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
