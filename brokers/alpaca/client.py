"""Alpaca's REST API: its answers as values, its errors as the five of the boundary."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote as quoted
from urllib.parse import urlencode

from brokers.alpaca.messages import Activity, AlpacaOrder, Unreadable, activity_of, order_of
from brokers.link.budget import Urgency
from brokers.link.http import Answer, Http
from trading.ports import BrokerError, InDoubt, Rejected, Unauthorized, Unavailable

_OK = frozenset({200, 201, 204, 207})
_REFUSED = frozenset({400, 404, 405, 409, 422})
_UNAUTHORIZED = 401
_FORBIDDEN = 403
_NOT_FOUND = 404
_ORDERS_MAX = 500
_FILLS_MAX = 100


class AlpacaClient:
    """Requests to Alpaca. Whatever it raises is a BrokerError, or what a permit raises."""

    def __init__(self, http: Http) -> None:
        """Take the link."""
        self._http = http

    async def close(self) -> None:
        """Let go of the link."""
        await self._http.close()

    # --- what changes something ---

    async def create(self, body: Mapping[str, str], check: Callable[[], None]) -> AlpacaOrder:
        """Place an order."""
        return await self._order("POST", "/v2/orders", body, check)

    async def replace(
        self, order_id: str, body: Mapping[str, str], check: Callable[[], None]
    ) -> AlpacaOrder:
        """Ask for another order in place of one; what comes is that other one."""
        return await self._order("PATCH", f"/v2/orders/{quoted(order_id, safe='')}", body, check)

    async def cancel(self, order_id: str) -> None:
        """Ask for the end of an order."""
        path = f"/v2/orders/{quoted(order_id, safe='')}"
        answer = await self._http.send("DELETE", path, None, urgency=Urgency.CANCEL)
        _check_sent(answer)

    async def _order(
        self, method: str, path: str, body: Mapping[str, str], check: Callable[[], None]
    ) -> AlpacaOrder:
        answer = await self._http.send(method, path, body, check=check)
        _check_sent(answer)
        try:
            return order_of(answer.json())
        except ValueError as error:
            raise InDoubt(f"Alpaca's answer cannot be read: {error}") from error

    # --- questions ---

    async def order(self, order_id: str) -> AlpacaOrder:
        """Look an order up by Alpaca's id. Raises Unavailable where it cannot be had."""
        if (found := await self._maybe(f"/v2/orders/{quoted(order_id, safe='')}")) is None:
            raise Unavailable(f"Alpaca does not know its order {order_id}")
        return found

    async def order_of_client(self, client_order_id: str) -> AlpacaOrder | None:
        """Look an order up by the id that it was given; None where Alpaca says there is none."""
        query = urlencode({"client_order_id": client_order_id})
        return await self._maybe(f"/v2/orders:by_client_order_id?{query}")

    async def _maybe(self, path: str) -> AlpacaOrder | None:
        answer = await self._http.ask(path)
        if answer.status == _NOT_FOUND:
            return None
        return _readable(order_of, _asked(answer))

    async def open_orders(self) -> tuple[Sequence[AlpacaOrder], bool]:
        """Return the open orders, and whether these are all."""
        query = urlencode({"status": "open", "limit": _ORDERS_MAX, "direction": "desc"})
        return await self._orders(query, _ORDERS_MAX)

    async def newest_orders(self, count: int) -> Sequence[AlpacaOrder]:
        """Return the orders that were placed last, whatever became of them."""
        query = urlencode({"status": "all", "limit": count, "direction": "desc"})
        return (await self._orders(query, count))[0]

    async def _orders(self, query: str, most: int) -> tuple[Sequence[AlpacaOrder], bool]:
        given = _list(_asked(await self._http.ask(f"/v2/orders?{query}")))
        return [_readable(order_of, each) for each in given], len(given) < most

    async def fills(self, after: str) -> AsyncIterator[tuple[Activity, bytes]]:
        """Yield fills after an RFC 3339 instant, oldest first, page by page."""
        page: str | None = None
        while True:
            terms = {"after": after, "direction": "asc", "page_size": str(_FILLS_MAX)}
            query = urlencode(terms | ({"page_token": page} if page else {}))
            answer = await self._http.ask(f"/v2/account/activities/FILL?{query}")
            given = _list(_asked(answer))
            for each in given:
                fill = _readable(activity_of, each)
                page = fill.id
                yield fill, answer.body
            if len(given) < _FILLS_MAX:
                return

    async def newest_fill(self) -> Activity | None:
        """Return the last fill of the account, or None before the first."""
        query = urlencode({"direction": "desc", "page_size": "1"})
        given = _list(_asked(await self._http.ask(f"/v2/account/activities/FILL?{query}")))
        return _readable(activity_of, given[0]) if given else None

    async def account(self) -> Mapping[str, Any]:
        """Return the account of the key."""
        return _readable(_mapping, _asked(await self._http.ask("/v2/account")))

    async def clock(self) -> Mapping[str, Any]:
        """Return the market's clock."""
        return _readable(_mapping, _asked(await self._http.ask("/v2/clock")))

    async def asset(self, symbol: str) -> Mapping[str, Any]:
        """Return what Alpaca says of a symbol. Raises Rejected for one that it does not have."""
        answer = await self._http.ask(f"/v2/assets/{quoted(symbol, safe='')}")
        if answer.status == _NOT_FOUND:
            raise Rejected(f"Alpaca has no asset {symbol}")
        return _readable(_mapping, _asked(answer))

    async def positions(self) -> Sequence[Mapping[str, Any]]:
        """Return all positions."""
        given = _list(_asked(await self._http.ask("/v2/positions")))
        return [_readable(_mapping, each) for each in given]


def _check_sent(answer: Answer) -> None:
    """Raise what an answer to a request is: a no only where Alpaca says so in its own words."""
    if answer.status not in _OK:
        raise _refusal(answer)


def _refusal(answer: Answer) -> BrokerError:
    """Sort a refusal by Alpaca's table: its code tells what a 403 is about."""
    said = _message(answer)
    if answer.status == _UNAUTHORIZED:
        return Unauthorized(said)
    if answer.status == _FORBIDDEN:
        return Rejected(said) if _code(answer) else Unauthorized(said)
    if answer.status in _REFUSED:
        return Rejected(said)
    return InDoubt(f"Alpaca answered {answer.status}: {said}")


def _asked(answer: Answer) -> Any:
    if answer.status not in _OK:
        error = _refusal(answer)
        raise error if isinstance(error, Unauthorized) else Unavailable(_message(answer))
    try:
        return answer.json()
    except ValueError as error:
        raise Unavailable(f"Alpaca's answer is not JSON: {answer.text()}") from error


def _message(answer: Answer) -> str:
    match _json(answer):
        case {"message": str(message)}:
            return f"Alpaca: {message}"
        case _:
            return f"Alpaca: {answer.status} {answer.text()}"


def _code(answer: Answer) -> int | None:
    match _json(answer):
        case {"code": int(code)}:
            return code
        case _:
            return None


def _json(answer: Answer) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


def _readable[T](read: Callable[[object], T], given: object) -> T:
    try:
        return read(given)
    except Unreadable as error:
        raise Unavailable(str(error)) from error


def _mapping(given: object) -> Mapping[str, Any]:
    if not isinstance(given, dict):
        raise Unreadable(f"not an object: {given!r:.300}")
    return given


def _list(given: object) -> Sequence[object]:
    if not isinstance(given, list):
        raise Unavailable(f"not a list: {given!r:.300}")
    return given
