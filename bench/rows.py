"""The rows that one acknowledged order leaves in the store, for servers that are not Drawbridge.

They go into Drawbridge's own tables, with its keys, indexes and foreign keys. What the broker makes
of the order afterwards is not among them: only Drawbridge has a broker.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from persistence import tables

# In the order in which their foreign keys let them in.
TABLES = (
    tables.orders,
    tables.commands,
    tables.cl_ord_ids,
    tables.decisions,
    tables.reports,
    tables.outbox,
)
_SERIALS = {"decisions": "id", "outbox": "id"}
_ZERO, _PRICE = Decimal(0), Decimal(230)

# As long as what the risk gate writes down of an order.
_CHECKS = json.dumps(
    {"facts": ["1234.56"] * 80, "found": [["10000", "1"]] * 20 + [[]] * 16}, separators=(",", ":")
)

type Values = Mapping[str, Any]


def columns(name: str) -> Sequence[str]:
    """Name the columns of a table that a row of it gives a value."""
    table = tables.metadata.tables[name]
    return [column.name for column in table.columns if column.name != _SERIALS.get(name)]


def rows(order: Values, seq: int) -> dict[str, dict[str, Any]]:
    """Make the rows of an order from its GraphQL input: one for each table, by its name."""
    now = time.time_ns()
    order_id = f"{now:024x}{secrets.token_hex(4)}"
    account_id, cl_ord_id = order["accountId"], order["clOrdId"]
    whose = {"account_id": account_id, "cl_ord_id": cl_ord_id, "order_id": order_id}
    terms = {
        "tenant_id": "demo",
        "symbol": f"{order['symbol']}@XNAS",
        "side": order["side"],
        "ord_type": order["ordType"],
        "order_qty": Decimal(order["orderQty"]),
        "time_in_force": "DAY",
        "cum_qty": _ZERO,
        "in_doubt": False,
        "transact_time": now,
    }
    made: dict[str, dict[str, Any]] = {
        "orders": {
            **whose,
            **terms,
            "id": order_id,
            "wire_id": order_id,
            "reduce_only": False,
            "status": "PENDING_NEW",
            "created_at": now,
            "last_seq": seq,
            "reserve_px": _PRICE,
            "cum_value": _ZERO,
            "pending_cancel": False,
        },
        "commands": {
            **whose,
            "wire_id": order_id,
            "kind": "NEW",
            "state": "SENT",
            "created_at": now,
            "attempt": 1,
            "epoch": 1,
            "sent_at": now,
        },
        "cl_ord_ids": {**whose, "kind": "place", "body_hash": order_id, "claimed_at": now},
        "decisions": {**whose, "checks": _CHECKS, "limits_version": 1, "decided_at": now},
        "reports": {
            **whose,
            **terms,
            "seq": seq,
            "msg_type": "8",
            "exec_id": order_id,
            "exec_type": "PENDING_NEW",
            "origin": "BROKER",
            "ord_status": "PENDING_NEW",
            "last_qty": _ZERO,
            "leaves_qty": Decimal(order["orderQty"]),
        },
        "outbox": {"account_id": account_id, "first_seq": seq, "last_seq": seq},
    }
    return {name: {each: row.get(each) for each in columns(name)} for name, row in made.items()}


def answer(order: Values, made: Mapping[str, Values]) -> dict[str, Any]:
    """Say what a client asks of an order that it has placed."""
    return {
        "__typename": "Order",
        "id": made["orders"]["id"],
        "clOrdId": order["clOrdId"],
        "ordStatus": "PENDING_NEW",
        "cumQty": "0",
        "rejectedBy": None,
        "text": None,
    }
