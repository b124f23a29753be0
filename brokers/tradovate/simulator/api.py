"""Tradovate's endpoints over the simulator, the same for REST and for sockets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from brokers.paper.venue import NoAnswer
from brokers.tradovate.simulator import terms
from brokers.tradovate.simulator.account import USER, USER_ID
from brokers.tradovate.simulator.sessions import Session
from brokers.tradovate.simulator.simulator import Simulator
from brokers.tradovate.simulator.terms import Answered, Document, Refused, not_found
from trading.ports import BrokerError, RateLimited, Unauthorized, Unavailable

TOKEN = "auth/accesstokenrequest"  # noqa: S105 - the name of an endpoint
TICKET = "p-ticket"
_SUGGESTIONS_MAX = 20
_OK = 200
_STATUSES: Mapping[type[BrokerError], int] = {Unauthorized: 401, Unavailable: 503}
"""What the exchange's refusals are over HTTP; any other is that the server has failed."""

type Given = Mapping[str, Any]
type _Work = Callable[[Session | None, Given], Awaitable[object] | object]

_MASTERS: Mapping[str, str] = {
    "account": "userId",
    "cashBalance": "accountId",
    "command": "orderId",
    "commandReport": "commandId",
    "contract": "contractMaturityId",
    "contractMaturity": "productId",
    "executionReport": "commandId",
    "fill": "orderId",
    "marginSnapshot": "id",
    "order": "accountId",
    "orderVersion": "orderId",
    "position": "accountId",
    "product": "exchangeId",
}
"""The kinds that are asked for by what they depend on, and the field that says what that is."""

_LISTED = frozenset(_MASTERS) - {"contract", "contractMaturity"}
_KINDS = frozenset(_MASTERS) | {
    *("contractGroup", "contractMargin", "currency", "exchange", "fillFee", "fillPair"),
    *("productMargin", "user"),
}
_UNLISTED = frozenset({"contract", "contractMaturity", "contractMargin"})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What answers a request, and by which method it is asked."""

    method: str
    work: _Work
    is_open: bool = False


class Api:
    """All endpoints, by their names in lower case."""

    def __init__(self, simulator: Simulator) -> None:
        """Take the simulator."""
        self._simulator = simulator
        self.endpoints: dict[str, Endpoint] = {
            TOKEN: Endpoint("POST", self._log_in, is_open=True),
            "auth/renewaccesstoken": Endpoint("GET", self._renew),
            "auth/me": Endpoint("GET", self._me),
            "order/placeorder": Endpoint("POST", lambda _, given: simulator.place(given)),
            "order/modifyorder": Endpoint("POST", lambda _, given: simulator.modify(given)),
            "order/cancelorder": Endpoint("POST", lambda _, given: simulator.cancel(given)),
            "cashbalance/getcashbalancesnapshot": Endpoint("POST", self._worth),
            "contract/suggest": Endpoint("GET", self._suggest),
        }
        for kind in _KINDS:
            self._add(kind)

    async def answer(
        self, name: str, session: Session | None, given: Given, method: str | None = None
    ) -> tuple[int, object]:
        """Answer a request, by its status and its document. Raises NoAnswer where none is given.

        A socket names no method.
        """
        window = self._simulator.window
        try:
            endpoint = self._admitted(name, session, method)
            if (penalty := window.penalty(name, given.get(TICKET))) is not None:
                return 200, penalty
            done = endpoint.work(session, given)
            status, document = 200, await done if isinstance(done, Awaitable) else done
        except Answered as refusal:
            status, document = 200, refusal.document
        except Refused as refusal:
            status, document = refusal.status, refusal.text
        except RateLimited as limit:
            status, document = 200, window.impose(name, limit.retry_after_s)
        except NoAnswer:
            raise
        except BrokerError as error:
            status, document = _STATUSES.get(type(error), 500), str(error)
        has_failed = isinstance(document, dict) and "errorText" in document
        window.count(name, failed=has_failed or status != _OK)
        return status, document

    def _admitted(self, name: str, session: Session | None, method: str | None) -> Endpoint:
        """Find what answers a request that may be made now. Raises Refused."""
        if self._simulator.maintenance.is_on:
            raise Refused(503, "The service is closed for maintenance")
        if (endpoint := self.endpoints.get(name)) is None:
            raise not_found(name)
        if method not in {None, endpoint.method}:
            raise Refused(405, "HTTP method not allowed")
        if session is None and not endpoint.is_open:
            raise Refused(401, "Access is denied")
        if not self._simulator.window.allows():
            raise Refused(429, "")
        return endpoint

    # --- authentication ---

    def _log_in(self, session: Session | None, given: Given) -> Document:
        del session
        return self._simulator.sessions.log_in(given)

    def _renew(self, session: Session | None, given: Given) -> Document:
        del given
        if session is None:
            raise Refused(401, "Access is denied")
        return self._simulator.sessions.renew(session)

    def _me(self, session: Session | None, given: Given) -> Document:
        del session, given
        told = {"userId": USER_ID, "name": USER, "fullName": "", "email": "simulated@example.com"}
        return told | {"emailVerified": True, "isTrial": False}

    # --- entities ---

    def _add(self, kind: str) -> None:
        works: dict[str, _Work] = {
            "item": lambda _, given: self._item(kind, terms.number(given, "id")),
            "items": lambda _, given: [
                found for each in terms.numbers(given, "ids") if (found := self._get(kind, each))
            ],
            "find": lambda _, given: self._find(kind, given.get("name")),
        }
        if kind not in _UNLISTED:
            works["list"] = lambda _, __: self._all(kind)
        if kind in _MASTERS:
            works["deps"] = lambda _, given: self._deps(kind, [terms.number(given, "masterid")])
            works["ldeps"] = lambda _, given: self._deps(kind, terms.numbers(given, "masterids"))
        for name, work in works.items():
            self.endpoints.setdefault(f"{kind}/{name}".lower(), Endpoint("GET", work))

    def _all(self, kind: str) -> Sequence[Document]:
        library = self._simulator.library.entities
        if kind in library:
            return list(library[kind].values())
        return self._simulator.entities.all(kind)

    def _get(self, kind: str, entity_id: int) -> Document | None:
        library = self._simulator.library.entities
        if kind in library:
            return library[kind].get(entity_id)
        return self._simulator.entities.get(kind, entity_id)

    def _item(self, kind: str, entity_id: int) -> Document:
        if (found := self._get(kind, entity_id)) is None:
            raise not_found(f"{kind} {entity_id}")
        return found

    def _find(self, kind: str, name: object) -> Document:
        for each in self._all(kind):
            if each.get("name") == name is not None:
                return each
        raise not_found(f"{kind} {name}")

    def _deps(self, kind: str, masters: Sequence[int]) -> Sequence[Document]:
        return [each for each in self._all(kind) if each[_MASTERS[kind]] in masters]

    def _suggest(self, session: Session | None, given: Given) -> Sequence[Document]:
        del session
        most = terms.number({"l": given.get("l", _SUGGESTIONS_MAX)}, "l")
        return self._simulator.library.suggestions(str(given.get("t", "")), most)

    def _worth(self, session: Session | None, given: Given) -> Document:
        del session
        return self._simulator.accounts.snapshot(self._simulator.account(given))
