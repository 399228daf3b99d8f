"""A company: the tenant that owns every other stream."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, assert_never

from write_model.companies.events import (
    CompanyProfileUpdated,
    CompanyRegistered,
    CompanyReinstated,
    CompanySuspended,
)
from write_model.message import Command, Event, State, StateConflict, command
from write_model.values.identifiers import CompanyId
from write_model.values.limits import Name
from write_model.values.tax_number import TaxNumber

Facts = CompanyRegistered | CompanyProfileUpdated | CompanySuspended | CompanyReinstated


class Company(State):
    """Its names, its time zone, and whether it may work."""

    __slots__ = ("currency", "legal_name", "status", "time_zone", "trade_name")
    kind: ClassVar[str] = "companies.company"

    def __init__(self) -> None:
        self.legal_name = ""
        self.trade_name: str | None = None
        self.time_zone = "America/Sao_Paulo"
        self.currency = "BRL"
        self.status = "unknown"

    def apply(self, fact: Facts) -> None:
        """Fold one event."""
        match fact:
            case CompanyRegistered():
                self.legal_name, self.trade_name = fact.legal_name, fact.trade_name
                self.time_zone, self.currency = fact.time_zone, fact.currency
                self.status = "active"
            case CompanyProfileUpdated():
                self.legal_name, self.trade_name = fact.legal_name, fact.trade_name
            case CompanySuspended():
                self.status = "suspended"
            case CompanyReinstated():
                self.status = "active"
            case _:
                assert_never(fact)

    def summary(self) -> Mapping[str, object]:
        """Status and legal name."""
        return {"status": self.status, "legal_name": self.legal_name}


class CompanyIsSuspended(StateConflict):
    """This company is suspended."""

    pt = "Esta empresa está suspensa"


class CompanyNotSuspended(StateConflict):
    """This company is not suspended."""

    pt = "Esta empresa não está suspensa"


@command(
    "companies.register_company",
    on=Company,
    route="/companies",
    permission="companies.register",
    target="company_id",
    resource="company",
    needs="new",
)
class RegisterCompany(Command):
    """Bring a company under control."""

    company_id: CompanyId
    legal_name: Name
    trade_name: Name | None = None
    tax_number: TaxNumber | None = None

    def decide(self, company: Company) -> Iterator[Event]:
        """Yield CompanyRegistered."""
        yield CompanyRegistered(
            company_id=self.company_id,
            legal_name=self.legal_name,
            trade_name=self.trade_name,
            tax_number=self.tax_number.number if self.tax_number else None,
            time_zone=company.time_zone,
            currency=company.currency,
        )


@command(
    "companies.update_company_profile",
    on=Company,
    route="/companies/{company_id}/update-profile",
    permission="companies.manage",
    target="company_id",
    resource="company",
)
class UpdateCompanyProfile(Command):
    """Change the names of a company."""

    company_id: CompanyId
    legal_name: Name
    trade_name: Name | None = None

    def decide(self, company: Company) -> Iterator[Event]:
        """Yield CompanyProfileUpdated unless nothing changes."""
        if (self.legal_name, self.trade_name) != (company.legal_name, company.trade_name):
            yield CompanyProfileUpdated(
                company_id=self.company_id, legal_name=self.legal_name, trade_name=self.trade_name
            )


@command(
    "companies.suspend_company",
    on=Company,
    route="/companies/{company_id}/suspend",
    permission="companies.manage",
    target="company_id",
    resource="company",
    needs_reason=True,
    reversed_by="companies.reinstate_company",
)
class SuspendCompany(Command):
    """Stop a company from issuing commands."""

    company_id: CompanyId

    def decide(self, company: Company) -> Iterator[Event]:
        """Yield CompanySuspended; a suspended company refuses every command, this one too."""
        yield CompanySuspended(company_id=self.company_id)


@command(
    "companies.reinstate_company",
    on=Company,
    route="/companies/{company_id}/reinstate",
    permission="companies.manage",
    target="company_id",
    resource="company",
    needs_reason=True,
)
class ReinstateCompany(Command):
    """Let a suspended company work again."""

    company_id: CompanyId

    def decide(self, company: Company) -> Iterator[Event]:
        """Yield CompanyReinstated; refuse with CompanyNotSuspended."""
        if company.status != "suspended":
            raise CompanyNotSuspended
        yield CompanyReinstated(company_id=self.company_id)
