"""Tradovate's REST API: its answers as entities, its errors as the five of the boundary."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from brokers.link.budget import Urgency
from brokers.link.http import Answer, Http
from brokers.link.wirelog import WireLog
from brokers.tradovate.dossier import Dossier, dossiers
from brokers.tradovate.messages import (
    FAILURES,
    PENDING,
    Command,
    Fill,
    NetPosition,
    TradovateAccount,
    TradovateOrder,
    Unreadable,
    account_of,
    command_of,
    document,
    fill_of,
    order_of,
    position_of,
    readable,
    version_of,
)
from brokers.tradovate.penalty import Penalties
from brokers.tradovate.token import Login, Token
from trading.ports import BrokerError, InDoubt, RateLimited, Rejected, Unauthorized, Unavailable

_LOCKED_S = 60.0
_PENDING_S = 0.5
_IDS_MAX = 100


class TradovateClient:
    """Requests to Tradovate. Whatever it raises is a BrokerError, or what a permit raises."""

    def __init__(self, http: Http, login: Login, log: WireLog, penalties: Penalties) -> None:
        """Take the link, and the log-in that it goes by."""
        self._http = http
        self._login = login
        self._log = log
        self._penalties = penalties

    async def close(self) -> None:
        """Let go of the link."""
        await self._http.close()

    # --- what changes something ---

    async def place(self, body: Mapping[str, Any], check: Callable[[], None]) -> int:
        """Place an order; return its id."""
        return await self._send("/v1/order/placeorder", body, "orderId", check)

    async def modify(self, body: Mapping[str, Any], check: Callable[[], None]) -> int:
        """Ask for other terms of an order, all of which are given; return the command's id."""
        return await self._send("/v1/order/modifyorder", body, "commandId", check)

    async def cancel(self, body: Mapping[str, Any]) -> int:
        """Ask for the end of an order; return the command's id."""
        path = "/v1/order/cancelorder"
        return await self._send(path, body, "commandId", lambda: None, Urgency.CANCEL)

    async def _send(
        self,
        path: str,
        body: Mapping[str, Any],
        name: str,
        check: Callable[[], None],
        urgency: Urgency = Urgency.ORDER,
    ) -> int:
        self._penalties.check(path)
        token = await self.token()
        given = self._penalties.with_ticket(path, body)
        answer = await self._http.send("POST", path, given, check=check, urgency=urgency)
        self._check_status(answer, token, InDoubt)
        said = _said(answer)
        self._penalties.examine(path, body, said)
        _check_said(said)
        found = said.get(name)
        if isinstance(found, bool) or not isinstance(found, int) or said.get("errorText"):
            raise InDoubt(f"Tradovate's answer is not to be understood: {answer.text()}")
        return found

    # --- questions ---

    async def token(self) -> Token:
        """Return a token that is good now."""
        return await self._login.token(self._http, self._log)

    async def renewed(self) -> Token:
        """Return the token, renewed if it is time."""
        return await self._login.renewed(self._http, self._log)

    async def accounts(self) -> Sequence[TradovateAccount]:
        """Return the accounts of the user."""
        return await self._list(account_of, "account/list")

    async def orders(self) -> Sequence[TradovateOrder]:
        """Return the orders of all accounts, those that have ended among them."""
        return await self._list(order_of, "order/list")

    async def commands(self) -> Sequence[Command]:
        """Return everything that was asked about orders."""
        return await self._list(command_of, "command/list")

    async def fills(self) -> Sequence[Fill]:
        """Return all fills."""
        return await self._list(fill_of, "fill/list")

    async def positions(self) -> Sequence[NetPosition]:
        """Return the positions of all accounts."""
        return await self._list(position_of, "position/list")

    async def dossiers(self, order_ids: Iterable[int]) -> Sequence[Dossier]:
        """Return orders with all that there is about them, as far as Tradovate has them."""
        ids = sorted(set(order_ids))
        found: list[Dossier] = []
        for start in range(0, len(ids), _IDS_MAX):
            found += await self._some(ids[start : start + _IDS_MAX])
        return found

    async def _some(self, ids: Sequence[int]) -> Sequence[Dossier]:
        written = ",".join(map(str, ids))
        # The orders first: what fills them meanwhile is then among the fills, and never missed.
        orders = await self._list(order_of, "order/items", ids=written)
        versions, commands, fills = await asyncio.gather(
            self._list(version_of, "orderVersion/ldeps", masterids=written),
            self._list(command_of, "command/ldeps", masterids=written),
            self._list(fill_of, "fill/ldeps", masterids=written),
        )
        return dossiers(orders, versions, commands, fills)

    async def item(self, kind: str, number: int) -> Mapping[str, Any] | None:
        """Return one entity as it is, or None where there is none."""
        return await self._maybe(f"{kind}/item", id=number)

    async def found(self, kind: str, name: str) -> Mapping[str, Any] | None:
        """Return the entity of a name as it is, or None where there is none."""
        return await self._maybe(f"{kind}/find", name=name)

    async def worth(self, account_id: int) -> Mapping[str, Any]:
        """Return what an account is worth now, and what margin it has tied up."""
        body = {"accountId": account_id}
        answer = await self._ask("/v1/cashBalance/getcashbalancesnapshot", body)
        return _readable(document, answer)

    async def cash_balances(self) -> Sequence[Mapping[str, Any]]:
        """Return the cash of all accounts, by currency."""
        return await self._list(document, "cashBalance/list")

    async def _maybe(self, path: str, **query: object) -> Mapping[str, Any] | None:
        try:
            return _readable(document, await self._ask(f"/v1/{path}?{urlencode(query)}"))
        except _NotFound:
            return None

    async def _list[T](
        self, read: Callable[[Mapping[str, Any]], T], path: str, **query: object
    ) -> Sequence[T]:
        written = f"?{urlencode(query, safe=',')}" if query else ""
        given = await self._ask(f"/v1/{path}{written}")
        if not isinstance(given, list):
            raise Unavailable(f"Tradovate's answer to {path} is no list: {given!r:.200}")
        return [_readable(read, each) for each in given]

    async def _ask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        endpoint, asked = path.partition("?")[0], {"path": path, **(body or {})}
        self._penalties.check(endpoint)
        token = await self.token()
        answer = await self._http.ask(self._penalties.path_with_ticket(path, asked), body)
        self._check_status(answer, token, Unavailable)
        try:
            said = answer.json()
        except ValueError as error:
            raise Unavailable(f"Tradovate's answer is not JSON: {answer.text()}") from error
        if isinstance(said, dict):
            self._penalties.examine(endpoint, asked, said)
        return said

    def _check_status(self, answer: Answer, token: Token, other: type[BrokerError]) -> None:
        said = f"Tradovate: {answer.status} {answer.text()}"
        match answer.status:
            case 200:
                return
            case 401:
                self._login.spoil(token.value)
                raise Unauthorized(said)
            case 423:
                raise RateLimited(said, _LOCKED_S)
            case 404 if other is Unavailable:
                raise _NotFound(said)
            case 400 | 403 | 404 | 405 if other is InDoubt:
                raise Rejected(said)
            case _:
                raise other(said)


class _NotFound(Unavailable):
    """There is no such entity."""


def _said(answer: Answer) -> Mapping[str, Any]:
    try:
        return document(answer.json())
    except ValueError as error:
        raise InDoubt(f"Tradovate's answer cannot be read: {answer.text()}") from error


def _check_said(said: Mapping[str, Any]) -> None:
    """Raise what an answer of status 200 refuses: a no only in words that are known as one."""
    failure = said.get("failureReason")
    if failure in FAILURES:
        raise Rejected(f"Tradovate: {failure}: {said.get('failureText') or 'without a word'}")
    if failure == PENDING:
        raise RateLimited("Tradovate has another command of this order under way", _PENDING_S)
    if failure not in {None, "Success"}:
        raise InDoubt(f"Tradovate: {failure}, which is no known reason: {said.get('failureText')}")
    if isinstance(violations := said.get("violations"), list) and violations:
        raise Rejected(f"Tradovate: {violations[0]!r:.300}")


def _readable[T](read: Callable[[Mapping[str, Any]], T], given: object) -> T:
    try:
        return readable(read, given)
    except Unreadable as error:
        raise Unavailable(str(error)) from error
