"""Which dataclass of the core is kept in which table."""

from persistence import tables
from persistence.rows import Rows
from trading.account import Account, Position
from trading.audit import Act
from trading.command import Claim, Command
from trading.control import ApprovalRequest, Confirmation, ScopeState, TradingStateChange
from trading.decision import RiskDecision
from trading.execution import Break, ExecutionReport, Fill, OrderCancelReject
from trading.instrument import Instrument
from trading.limitrequest import LimitRequest
from trading.order import Order, Replacement
from trading.quote import Quote
from trading.scope import Scope

ACCOUNTS = Rows(Account, tables.accounts)
ACTS = Rows(Act, tables.acts)
APPROVAL_REQUESTS = Rows(ApprovalRequest, tables.approval_requests, nested={"scope": Scope})
BREAKS = Rows(Break, tables.breaks)
CANCEL_REJECTS = Rows(
    OrderCancelReject, tables.reports, fixed={"msg_type": tables.ORDER_CANCEL_REJECT}
)
CLAIMS = Rows(Claim, tables.cl_ord_ids)
COMMANDS = Rows(Command, tables.commands, nested={"terms": Replacement})
CONFIRMATIONS = Rows(Confirmation, tables.confirmations)
DECISIONS = Rows(RiskDecision, tables.decisions)
EXECUTION_REPORTS = Rows(
    ExecutionReport, tables.reports, fixed={"msg_type": tables.EXECUTION_REPORT}
)
FILLS = Rows(Fill, tables.fills)
INSTRUMENTS = Rows(Instrument, tables.instruments)
LIMIT_REQUESTS = Rows(LimitRequest, tables.limit_requests)
ORDERS = Rows(Order, tables.orders, nested={"replacement": Replacement})
POSITIONS = Rows(Position, tables.positions)
QUOTES = Rows(Quote, tables.reference_prices)
SCOPE_STATES = Rows(ScopeState, tables.scope_states, nested={"scope": Scope})
STATE_CHANGES = Rows(TradingStateChange, tables.trading_state_changes)
