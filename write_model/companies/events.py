"""Facts about companies."""

from write_model.message import Event, event
from write_model.values.identifiers import CompanyId


@event(
    "companies.company_registered", pt="Empresa {legal_name} cadastrada", en="Company {legal_name} registered"
)
class CompanyRegistered(Event):
    """A company came under control. `tax_number` is its CNPJ, a public number, normalised."""

    company_id: CompanyId
    legal_name: str
    trade_name: str | None
    tax_number: str | None
    time_zone: str
    currency: str


@event(
    "companies.company_profile_updated",
    pt="Dados da empresa {legal_name} alterados",
    en="Profile of company {legal_name} updated",
)
class CompanyProfileUpdated(Event):
    """The company changed its names."""

    company_id: CompanyId
    legal_name: str
    trade_name: str | None


@event("companies.company_suspended", pt="Empresa suspensa", en="Company suspended")
class CompanySuspended(Event):
    """The company may issue no commands until it is reinstated."""

    company_id: CompanyId


@event("companies.company_reinstated", pt="Empresa reativada", en="Company reinstated")
class CompanyReinstated(Event):
    """The company may work again."""

    company_id: CompanyId
