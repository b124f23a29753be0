"""Fills as far as they move a net quantity, and checkpoints of the fold over them."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from persistence import tables
from persistence.connection import Connection
from persistence.within import pair_within, within
from trading.exposure import Fold, Traded
from trading.ids import AccountID, InstrumentID
from trading.quantity import plain

logger = logging.getLogger(__name__)

_CHECKPOINTS = tables.exposure_checkpoints
_REVISED = tables.fills.alias("revised")
_TRADED = (
    sa.select(
        tables.fills.c.seq,
        tables.fills.c.symbol,
        tables.fills.c.side,
        tables.fills.c.exec_type,
        tables.fills.c.last_qty,
        _REVISED.c.last_qty,
    )
    .outerjoin(
        _REVISED,
        sa.and_(
            _REVISED.c.account_id == tables.fills.c.account_id,
            _REVISED.c.exec_id == tables.fills.c.exec_ref_id,
        ),
    )
    .order_by(tables.fills.c.seq)
)
_FILLS = _TRADED.where(
    tables.fills.c.account_id == sa.bindparam("account_id"),
    tables.fills.c.seq > sa.bindparam("after_seq"),
    tables.fills.c.seq <= sa.bindparam("until_seq"),
).limit(sa.bindparam("first"))
_NUMBERED = _TRADED.add_columns(tables.fills.c.account_id).where(
    pair_within(tables.fills.c.account_id, tables.fills.c.seq, "numbers")
)
_KEPT = sa.select(_CHECKPOINTS).where(within(_CHECKPOINTS.c.account_id, "accounts"))
# A fold that is honest is right, whoever made it and when: so this needs no lock of the account.
_KEEP = (
    _CHECKPOINTS.update()
    .where(
        _CHECKPOINTS.c.account_id == sa.bindparam("of_account"),
        _CHECKPOINTS.c.epoch <= sa.bindparam("of_epoch"),
    )
    .values(
        seq=sa.bindparam("to_seq"),
        net_qty=sa.bindparam("to_net_qty"),
        epoch=sa.bindparam("of_epoch"),
    )
)


def fills(
    connection: Connection, account_id: AccountID, after_seq: int, until_seq: int, first: int
) -> Sequence[Traded]:
    """Read the first fills between two sequence numbers, the later one included."""
    values = {"account_id": account_id, "after_seq": after_seq, "until_seq": until_seq}
    return [Traded(*row) for row in connection.rows(_FILLS, values | {"first": first})]


def fills_numbered(
    connection: Connection, numbers: Collection[tuple[AccountID, int]]
) -> Mapping[AccountID, Sequence[Traded]]:
    """Read those reports of accounts that are fills, by account, in the order of their numbers."""
    found: dict[AccountID, list[Traded]] = {}
    for *traded, account_id in connection.rows(_NUMBERED, {"numbers": numbers}):
        found.setdefault(account_id, []).append(Traded(*traded))
    return found


def checkpoints(
    connection: Connection, accounts: Collection[AccountID]
) -> Mapping[AccountID, Fold]:
    """Read checkpoints; one that cannot be read is none, for there are the fills themselves."""
    rows = connection.rows(_KEPT, {"accounts": accounts})
    found = {row.account_id: _fold(row) for row in rows}
    return {account_id: fold for account_id, fold in found.items() if fold is not None}


def _fold(row: Any) -> Fold | None:
    try:
        net = {InstrumentID(name): Decimal(qty) for name, qty in json.loads(row.net_qty).items()}
    except (ValueError, TypeError, AttributeError, ArithmeticError):
        logger.exception("the checkpoint of %s cannot be read", row.account_id)
        return None
    return Fold(row.seq, net)


def keep(connection: Connection, account_id: AccountID, fold: Fold, epoch: int) -> None:
    """Write a checkpoint in place of an earlier owner's, or of this one's."""
    net_qty = json.dumps({symbol: plain(qty) for symbol, qty in sorted(fold.net_qty.items())})
    values = {"seq": fold.seq, "net_qty": net_qty, "epoch": epoch}
    connection.insert_missing(_CHECKPOINTS, [{"account_id": account_id} | values])
    own = {"of_account": account_id, "of_epoch": epoch}
    connection.run(_KEEP, own | {"to_seq": fold.seq, "to_net_qty": net_qty})
