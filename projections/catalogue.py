"""Every projection of the product, one line each. A projection that is not here does not run."""

from projections.audit.events import AuditEvents
from projections.catalog.products import CatalogProducts
from projections.ledger.accounts import LedgerAccounts
from projections.ledger.lines import LedgerLines
from projections.ledger.periods import LedgerPeriods
from projections.parties.directory import PartiesDirectory
from projections.projector import AnyProjection
from projections.sales.dashboard import SalesDashboard, SalesDashboardView
from projections.sales.orders import SalesOrders
from projections.settlement.ageing import SettlementAgeing
from projections.settlement.instalments import SettlementInstalments
from projections.settlement.receivables import SettlementReceivables
from projections.settlement.settlements import SettlementSettlements
from projections.stock.levels import StockLevels
from projections.treasury.bank_accounts import TreasuryBankAccounts, TreasuryBankBalances
from projections.treasury.statement import TreasuryStatement
from projections.webhooks.endpoints import WebhooksEndpoints

PROJECTIONS: tuple[type[AnyProjection], ...] = (
    AuditEvents,
    CatalogProducts,
    LedgerAccounts,
    LedgerLines,
    LedgerPeriods,
    PartiesDirectory,
    SalesDashboard,
    SalesDashboardView,
    SalesOrders,
    SettlementAgeing,
    SettlementInstalments,
    SettlementReceivables,
    SettlementSettlements,
    StockLevels,
    TreasuryBankAccounts,
    TreasuryBankBalances,
    TreasuryStatement,
    WebhooksEndpoints,
)
