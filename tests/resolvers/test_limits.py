"""Limits over GraphQL: what is shown, what is asked of the desk, and what its answers become."""

from typing import Any

import pytest

from tests.resolvers.conftest import Ask
from tests.resolvers.fakes import OURS, TENANT, World, a_limit, a_limit_request
from trading.ids import AccountID, InstrumentID, TenantID
from trading.limits import Limit, LimitName, LimitScope
from trading.loosening import Loosened
from trading.outcome import InvalidInput, LimitApprovalRequired
from trading.quantity import ZERO
from trading.reject import InputError

SET = """
mutation($input: SetLimitsInput!) { setLimits(input: $input) {
  __typename
  ... on LimitsSet { version limits { value } }
  ... on LimitApprovalRequired {
    request { id state limits { value } }
    loosened { name place { accountId } before { value } after { value } }
  }
  ... on InvalidInput { errors { path code } }
} }
"""


def wanted(value: Any = "5", **scope: Any) -> dict[str, Any]:
    return {"name": "MAX_ORDER_QTY", "scope": {"accountId": "ours"} | scope, "value": value}


def change(*limits: dict[str, Any], **shared: Any) -> dict[str, Any]:
    return {"limits": limits, "owner": "desk", "reason": "why"} | shared


async def test_limits_in_force_are_shown_with_their_scope(ask: Ask) -> None:
    result = await ask(
        "{ limits { name value symbol owner reason version expiresAt scope { accountId broker } } }"
    )

    assert result["data"]["limits"][0] == {
        "name": "MAX_ORDER_QTY",
        "value": "5",
        "symbol": "AAPL@XNAS",
        "owner": "risk",
        "reason": "test",
        "version": 3,
        "expiresAt": None,
        "scope": {"accountId": "ours", "broker": None},
    }


async def test_an_account_shows_what_one_instrument_is_judged_by(ask: Ask) -> None:
    document = '{ account(id: "ours") { limits { strictest(symbol: "%s") { name value } } } }'
    found = await ask(document % "AAPL")
    unknown = await ask(document % "nothing")

    assert found["data"]["account"]["limits"]["strictest"] == [
        {"name": "MAX_ORDER_QTY", "value": "5"}
    ]
    assert unknown["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_history_names_both_people(ask: Ask, world: World) -> None:
    result = await ask(
        "{ limitVersions(first: 7, before: 9) { version requestedBy approvedBy limits { value } }"
        " limitRequests { id state requestedBy decidedBy expiresAt } }"
    )

    assert result["data"]["limitVersions"] == [
        {"version": 3, "requestedBy": "u1", "approvedBy": "u2", "limits": [{"value": "5"}]}
    ]
    assert result["data"]["limitRequests"][0]["state"] == "PENDING"
    assert world.limits.pages == [(7, 9)]


@pytest.mark.parametrize("first", [0, 101])
async def test_pages_are_bounded(ask: Ask, first: int) -> None:
    for field in ("limitVersions", "limitRequests"):
        result = await ask(f"{{ {field}(first: {first}) {{ version }} }}")
        assert result["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_an_input_becomes_limits(ask: Ask, world: World) -> None:
    shared = {"effectiveAt": "2030-01-01T00:00:00Z", "expiresAt": "2031-01-01T00:00:00Z"}
    limits = (wanted(), wanted(None, accountId=None, strategyId="s", securityType="FUTURE"))
    result = await ask(SET, {"input": change(*limits, **shared)})

    assert result["data"]["setLimits"]["version"] == 4
    [(user, [first, second])] = world.limits.commands
    assert user == "u1"
    assert first == Limit(
        scope=LimitScope(account_id=OURS),
        name=LimitName.MAX_ORDER_QTY,
        value=a_limit(5).value,
        owner="desk",
        reason="why",
        effective_at=first.effective_at,
        expires_at=first.expires_at,
    )
    assert first.effective_at < first.expires_at
    assert first.effective_at % 86_400_000_000_000 == 0
    assert second.value is None
    assert (second.scope.tenant_id, second.scope.strategy_id) == (TENANT, "s")
    assert second.scope.account_id is None


async def test_a_value_that_is_left_out_does_not_take_a_limit_away(ask: Ask, world: World) -> None:
    unsaid = wanted()
    del unsaid["value"]
    result = await ask(SET, {"input": change(wanted(), unsaid)})

    assert result["data"]["setLimits"]["errors"] == [
        {"path": ["input", "limits", "1", "value"], "code": "REQUIRED"}
    ]
    assert world.limits.commands == []


async def test_what_is_given_empty_is_not_what_is_left_out(ask: Ask, world: World) -> None:
    """Else a limit for an account whose name was lost would be one for all."""
    names = ("accountId", "tenantId", "strategyId", "broker", "symbol")
    shared = {"effectiveAt": "1970-01-01T00:00:00Z", "expiresAt": None}
    await ask(SET, {"input": change(wanted(**dict.fromkeys(names, "")), **shared)})

    [(_, [limit])] = world.limits.commands
    assert limit.scope == LimitScope(
        account_id=AccountID(""),
        tenant_id=TenantID(""),
        strategy_id="",
        broker="",
        symbol=InstrumentID(""),
    )
    assert (limit.effective_at, limit.expires_at) == (0, None)


async def test_zero_is_a_value(ask: Ask, world: World) -> None:
    await ask(SET, {"input": change(wanted("0"))})

    [(_, [limit])] = world.limits.commands
    assert limit.value == ZERO
    assert limit.value is not None


async def test_what_all_limits_share_is_complained_of_once_and_where_it_stands(
    ask: Ask, world: World
) -> None:
    paths = [("limits", str(number), name) for number in (0, 1) for name in ("reason", "value")]
    errors = (InputError(("input", *path), "WRONG", "wrong") for path in paths)
    world.limits.result = InvalidInput(tuple(errors))
    result = await ask(SET, {"input": change(wanted(), wanted())})

    assert [each["path"] for each in result["data"]["setLimits"]["errors"]] == [
        ["input", "reason"],
        ["input", "limits", "0", "value"],
        ["input", "limits", "1", "value"],
    ]


@pytest.mark.parametrize("before", [a_limit(5), None])
async def test_what_would_loosen_shows_where(ask: Ask, world: World, before: Limit | None) -> None:
    looser = Loosened(LimitScope(account_id=OURS), LimitName.MAX_ORDER_QTY, before, a_limit(7))
    world.limits.result = LimitApprovalRequired(a_limit_request(), looser)
    result = await ask(SET, {"input": change(wanted("7"))})

    assert result["data"]["setLimits"] == {
        "__typename": "LimitApprovalRequired",
        "request": {"id": "r1", "state": "PENDING", "limits": [{"value": "7"}]},
        "loosened": {
            "name": "MAX_ORDER_QTY",
            "place": {"accountId": "ours"},
            "before": {"value": "5"} if before else None,
            "after": {"value": "7"},
        },
    }


async def test_requests_are_decided(ask: Ask, world: World) -> None:
    result = await ask(
        'mutation { approveLimits(requestId: "a") { ... on LimitsSet { version } }'
        ' denyLimits(requestId: "b", reason: "no") { state }'
        ' withdrawLimits(requestId: "c") { state } }'
    )

    assert result["data"] == {
        "approveLimits": {"version": 4},
        "denyLimits": {"state": "DENIED"},
        "withdrawLimits": {"state": "WITHDRAWN"},
    }
    assert world.limits.commands == [("u1", "a"), ("u1", "b", "no"), ("u1", "c")]


async def test_a_denial_says_why(ask: Ask) -> None:
    result = await ask('mutation { denyLimits(requestId: "b", reason: "") { state } }')

    assert result["errors"][0]["extensions"]["errors"][0]["path"] == ["reason"]
