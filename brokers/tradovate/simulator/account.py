"""The accounts of the simulator's one user: their cash, positions and margins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

from brokers.tradovate.simulator.contracts import Library, made_id
from brokers.tradovate.simulator.entities import Entities
from brokers.tradovate.simulator.holdings import Holding, Traded, holding
from brokers.tradovate.simulator.terms import Document
from brokers.tradovate.simulator.wire import at_text, trade_date
from trading.ids import AccountID, InstrumentID
from trading.instrument import Catalogue, Instrument
from trading.quantity import ZERO, Money, Px

USER_ID = 100001
USER = "simulated"
NAMES = (AccountID("SIM1000001"), AccountID("SIM1000002"))
"""Names that no account at Tradovate has; at the exchange they are the accounts' ids."""

OPENING_CASH = Decimal(1_000_000)
_FIRST_ID = 1000001
_CURRENCY = "USD"

type _Key = tuple[AccountID, InstrumentID]


def account_id(name: AccountID) -> int:
    """Return the number of an account."""
    return _FIRST_ID + NAMES.index(name)


def named(number: int) -> AccountID | None:
    """Return the name of an account, or None where there is none of that number."""
    place = number - _FIRST_ID
    return NAMES[place] if 0 <= place < len(NAMES) else None


class Accounts:
    """Holdings of all accounts, made from the fills that stand; marks come from the last quotes."""

    def __init__(
        self,
        entities: Entities,
        library: Library,
        catalogue: Catalogue,
        mark: Callable[[InstrumentID], Px | None],
        opened_at: int,
    ) -> None:
        """Open all accounts."""
        self._entities = entities
        self._library = library
        self._catalogue = catalogue
        self._mark = mark
        self._held: dict[_Key, Holding] = {}
        entities.put("user", _user(opened_at))
        entities.put("currency", {"id": library.currency_id(_CURRENCY), "name": _CURRENCY})
        for name in NAMES:
            entities.put("account", _account(name, opened_at))
            entities.put("cashBalance", self._cash(name, opened_at))
            entities.put("marginSnapshot", self._margins(name, opened_at))

    def traded(self, key: _Key, fills: Iterable[Traded], at: int) -> Sequence[Document]:
        """Take in all fills of an instrument that stand; return what that changes, as props."""
        self._held[key] = holding(fills)
        name, _ = key
        return [
            self._entities.put("position", self._position(key, at)),
            self._entities.put("cashBalance", self._cash(name, at)),
            self._entities.put("marginSnapshot", self._margins(name, at)),
        ]

    def snapshot(self, name: AccountID) -> Document:
        """Write what an account is worth now."""
        cash = OPENING_CASH + self._gained(name)
        open_gain = sum((self._open_gain(*each) for each in self._of(name)), ZERO)
        return {
            "totalCashValue": cash,
            "totalPnL": open_gain + self._gained(name),
            "initialMargin": self._margin(name, "initial_margin"),
            "maintenanceMargin": self._margin(name, "maintenance_margin"),
            "netLiq": cash + open_gain,
            "openPnL": open_gain,
            "realizedPnL": self._gained(name),
            "weekRealizedPnL": self._gained(name),
        }

    def _of(self, name: AccountID) -> Sequence[tuple[Instrument, Holding]]:
        return [
            (instrument, held)
            for (owner, symbol), held in self._held.items()
            if owner == name and (instrument := self._catalogue.get(symbol)) is not None
        ]

    def _gained(self, name: AccountID) -> Money:
        return sum((held.gained * each.multiplier for each, held in self._of(name)), ZERO)

    def _open_gain(self, instrument: Instrument, held: Holding) -> Money:
        mark = self._mark(instrument.id) or held.px or ZERO
        return (held.net * mark - held.cost) * instrument.multiplier

    def _margin(self, name: AccountID, which: str) -> Money:
        return sum(
            (abs(held.net) * (getattr(each, which) or ZERO) for each, held in self._of(name)),
            ZERO,
        )

    def _position(self, key: _Key, at: int) -> Document:
        (name, symbol), held = key, self._held[key]
        return {
            "id": made_id("position", name, symbol),
            "accountId": account_id(name),
            "contractId": self._library.contract_id(symbol),
            "timestamp": at_text(at),
            "tradeDate": trade_date(at),
            "netPos": held.net,
            **({} if held.px is None else {"netPrice": held.px}),
            "bought": held.bought,
            "boughtValue": held.bought_value,
            "sold": held.sold,
            "soldValue": held.sold_value,
            "archived": False,
            "prevPos": 0,
            "prevPrice": 0,
        }

    def _cash(self, name: AccountID, at: int) -> Document:
        gained = self._gained(name)
        return {
            "id": made_id("cash", name),
            "accountId": account_id(name),
            "timestamp": at_text(at),
            "tradeDate": trade_date(at),
            "currencyId": self._library.currency_id(_CURRENCY),
            "amount": OPENING_CASH + gained,
            "realizedPnL": gained,
            "weekRealizedPnL": gained,
            "archived": False,
        }

    def _margins(self, name: AccountID, at: int) -> Document:
        initial = self._margin(name, "initial_margin")
        return {
            "id": account_id(name),
            "timestamp": at_text(at),
            "riskTimePeriodId": 1,
            "initialMargin": initial,
            "maintenanceMargin": self._margin(name, "maintenance_margin"),
            "autoLiqLevel": 0,
            "liqOnlyLevel": 0,
            "totalUsedMargin": initial,
            "fullInitialMargin": initial,
        }


def _user(opened_at: int) -> Document:
    return {
        "id": USER_ID,
        "name": USER,
        "timestamp": at_text(opened_at),
        "email": "simulated@example.com",
        "status": "Active",
        "professional": False,
    }


def _account(name: AccountID, opened_at: int) -> Document:
    return {
        "id": account_id(name),
        "name": name,
        "userId": USER_ID,
        "accountType": "Customer",
        "active": True,
        "clearingHouseId": 1,
        "riskCategoryId": 1,
        "autoLiqProfileId": 1,
        "marginAccountType": "Speculator",
        "legalStatus": "Individual",
        "archived": False,
        "timestamp": at_text(opened_at),
    }
