"""Futures as Tradovate specifies them: a contract, its maturity, its product and its margin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brokers.instants import parse_instant
from brokers.tradovate.client import TradovateClient
from brokers.tradovate.messages import integer, needed, number, text
from trading.instrument import UNLISTED, Instrument, SecurityType
from trading.ports import Environment, Rejected, Unavailable
from trading.quantity import ONE

_MICS = {"CME": "XCME", "CBOT": "XCBT", "NYMEX": "XNYM", "COMEX": "XCEC", "CFE": "XCBF"}
_HOURS = "CMES"
"""The calendar of CME's electronic market, which all of its exchanges keep to."""

_SIMULATED_HOURS = "24/7-2100"
_PRICE_FORMATS = frozenset({"Decimal", "Fractional"})


async def specified(
    client: TradovateClient, name: str, environment: Environment
) -> tuple[int, Instrument]:
    """Return a contract's id, and what it is. Raises Rejected where there is none, BrokerError."""
    contract = await client.found("contract", name)
    if contract is None:
        raise Rejected(f"Tradovate has no contract {name}: say one such as ESZ6, by month and year")
    try:
        return integer(contract, "id"), await _instrument(client, contract, environment)
    except (KeyError, ValueError, ArithmeticError) as error:
        raise Unavailable(f"Tradovate's contract {name} cannot be read: {error!r}") from error


async def _instrument(
    client: TradovateClient, contract: Mapping[str, Any], environment: Environment
) -> Instrument:
    maturity = await _needed(client, "contractMaturity", integer(contract, "contractMaturityId"))
    product_id = integer(maturity, "productId")
    product = await _needed(client, "product", product_id)
    exchange = await _needed(client, "exchange", integer(product, "exchangeId"))
    currency = await _needed(client, "currency", integer(product, "currencyId"))
    margin = await client.item("productMargin", product_id) or {}
    _check_format(product)
    is_simulated = environment is Environment.SIM
    return Instrument(
        symbol=text(contract, "name"),
        mic=_MICS.get(text(exchange, "name"), UNLISTED),
        description=f"{text(product, 'description')}, {integer(maturity, 'expirationMonth')}",
        security_type=SecurityType.FUTURE,
        currency=text(currency, "name"),
        tick=needed(product, "tickSize"),
        lot=ONE,
        multiplier=needed(product, "valuePerPoint"),
        calendar=_SIMULATED_HOURS if is_simulated else _HOURS,
        expiry=parse_instant(text(maturity, "expirationDate")),
        initial_margin=number(margin, "initialMargin"),
        maintenance_margin=number(margin, "maintenanceMargin"),
    )


def _check_format(product: Mapping[str, Any]) -> None:
    """Refuse a way of writing prices that nobody has heard of: both known are decimals here.

    A Fractional one is shown to people in 32nds and the like, and told in full over the API.
    """
    if text(product, "priceFormatType") not in _PRICE_FORMATS:
        raise ValueError(f"prices of {product.get('name')} are {product.get('priceFormatType')}")


async def _needed(client: TradovateClient, kind: str, entity_id: int) -> Mapping[str, Any]:
    if (found := await client.item(kind, entity_id)) is None:
        raise Unavailable(f"Tradovate has no {kind} {entity_id}, to which a contract refers")
    return found
