"""Links to brokers over a real store and a real envelope, and a broker that does as it is told."""

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.keys import rotate
from persistence.connection import Connection
from persistence.store import SqlStore
from security.envelope import Envelope, KeyUnavailable
from security.keyfile import LocalKeys, make_keys
from security.vault import LinkVault
from tests.persistence.changes import A
from tests.persistence.samples import TENANT, StoppedClock
from trading.audit import ACTS
from trading.ids import AccountID, TenantID, UserID
from trading.link import (
    BrokerTokens,
    Link,
    LinkRefused,
    LinkState,
    LinkUnavailable,
    SealedSecret,
    SecretField,
)
from trading.linkdesk import CONSENT_NS, LinkDesk
from trading.outcome import BadUserInput, BrokerUnavailable, Forbidden, GatewayError, NotFound
from trading.permission import Entitlement, Permission, Principal

HOUR_NS = 3_600_000_000_000
BACK = "https://app.example/linked?code=c&state="


class FakeBroker:
    """Gives a refresh token once, and takes all of them back when one is used twice."""

    def __init__(self, clock: StoppedClock) -> None:
        self.clock, self.given, self.is_gone, self.fails = clock, 0, False, ""
        self.before_answer: Callable[[], Any] | None = None

    def begin(self) -> tuple[str, str, str]:
        return "https://broker.example/authorize?state=s1", "s1", "the verifier"

    async def complete(self, redirected_to: str, state: str, verifier: str) -> BrokerTokens:
        assert (redirected_to, state, verifier) == (f"{BACK}s1", "s1", "the verifier")
        return self._given()

    async def refresh(self, tokens: BrokerTokens) -> BrokerTokens:
        if self.before_answer is not None:
            await self.before_answer()
        if self.fails:
            raise LinkUnavailable(self.fails)
        if self.is_gone or tokens.refresh_token != f"refresh-{self.given}":
            self.is_gone = True
            raise LinkRefused("it says invalid_grant")
        return self._given()

    def _given(self) -> BrokerTokens:
        self.given += 1
        return BrokerTokens(
            access_token=f"access-{self.given}",
            refresh_token=f"refresh-{self.given}",
            expires_at=self.clock.now() + HOUR_NS,
        )


class Ids:
    def __init__(self) -> None:
        self.made = 0

    def next(self) -> int:
        self.made += 1
        return self.made


def principal(name: str = "ann", **fields: Any) -> Principal:
    plain = Principal(
        user_id=UserID(name),
        name=name,
        tenant_id=TENANT,
        role="risk_officer",
        permissions=frozenset({Permission.LINKS_READ, Permission.LINKS_WRITE}),
        accounts={A: Entitlement.READ},
        expires_at=1 << 62,
    )
    return replace(plain, **fields)


ANN, BOB = principal(), principal("bob")


class Office:
    """Desks of several processes over one store, and the broker that they link to."""

    def __init__(self, store: SqlStore, clock: StoppedClock, directory: Path) -> None:
        self.store, self.clock, self.broker = store, clock, FakeBroker(clock)
        self.file = directory / "wrapping.json"
        make_keys(self.file, os.urandom)
        self.vault = LinkVault(
            Envelope({"local": LocalKeys(self.file, os.urandom)}, "local", os.urandom)
        )
        self.ids = Ids()
        self.desk = self.another()

    def another(self, *, needs_approval: bool = False) -> LinkDesk:
        return LinkDesk(
            store=self.store.links,
            audit=self.store.audit,
            clients={"broker": self.broker},
            vault=self.vault,
            leases=self.store.leases,
            clock=self.clock,
            ids=self.ids,
            holder=f"process-{self.ids.next()}",
            needs_approval=needs_approval,
        )

    async def linked(self) -> Link:
        begun = await self.desk.begin(ANN, A, "broker")
        assert begun.url == "https://broker.example/authorize?state=s1"
        return await self.desk.complete(ANN, f"{BACK}s1")

    async def token(self, link: Link) -> BrokerTokens:
        sealed = await self.store.links.secret(link.id, SecretField.TOKEN)
        assert sealed is not None
        return BrokerTokens(**json.loads(await self.vault.open(sealed)))

    async def acts(self) -> list[str]:
        acts = await self.store.audit.acts(TENANT, 50, 1 << 62)
        return [f"{each.kind} {each.decision} {each.user_id}" for each in reversed(acts)]


@pytest.fixture
def office(store: SqlStore, clock: StoppedClock, tmp_path: Path) -> Office:
    return Office(store, clock, tmp_path)


async def test_a_link_is_begun_completed_and_on_record(office: Office) -> None:
    link = await office.linked()

    assert (link.state, link.token_expires_at) == (LinkState.ACTIVE, HOUR_NS)
    assert (await office.token(link)).access_token == "access-1"
    assert await office.desk.links(BOB) == [link]
    assert await office.acts() == ["BEGIN_LINK DONE ann", "COMPLETE_LINK DONE ann"]


async def test_an_answer_is_brought_once_in_time_and_by_who_began(office: Office) -> None:
    await office.desk.begin(ANN, A, "broker")
    with pytest.raises(NotFound):
        await office.desk.complete(BOB, f"{BACK}s1")
    with pytest.raises(NotFound):
        await office.desk.complete(ANN, f"{BACK}another")
    with pytest.raises(BadUserInput):
        await office.desk.complete(ANN, "https://app.example/linked?code=c")
    await office.desk.complete(ANN, f"{BACK}s1")
    with pytest.raises(NotFound):
        await office.desk.complete(ANN, f"{BACK}s1")
    with pytest.raises(BadUserInput):
        await office.desk.complete(ANN, "https://app.example/linked?state=")

    await office.desk.begin(ANN, A, "broker")
    office.clock.time += CONSENT_NS
    with pytest.raises(NotFound, match="begin anew"):
        await office.desk.complete(ANN, f"{BACK}s1")


async def test_no_state_is_no_links_state(office: Office, store: SqlStore) -> None:
    assert (await office.linked()).state_digest == ""

    assert await store.links.link_awaiting("") is None


async def test_in_live_another_person_must_approve(office: Office) -> None:
    office.desk = office.another(needs_approval=True)
    link = await office.linked()
    assert link.state is LinkState.AWAITS_APPROVAL
    with pytest.raises(NotFound, match="nothing can be refreshed"):
        await office.desk.rotate(ANN, link.id)
    with pytest.raises(Forbidden):
        await office.desk.approve(ANN, link.id)

    approved = await office.desk.approve(BOB, link.id)
    assert (approved.state, approved.approved_by) == (LinkState.ACTIVE, "bob")
    assert (await office.token(approved)).access_token == "access-1"
    with pytest.raises(NotFound):
        await office.desk.approve(BOB, link.id)
    assert (await office.acts())[1:5] == [
        "COMPLETE_LINK AWAITS_APPROVAL ann",
        "ROTATE_LINK REFUSED ann",
        "APPROVE_LINK REFUSED ann",
        "APPROVE_LINK DONE bob",
    ]


async def test_what_is_not_yours_is_not_there(office: Office) -> None:
    link = await office.linked()
    strangers = (
        principal("eve", tenant_id=TenantID("other")),
        principal("eve", accounts={AccountID("b"): Entitlement.READ}),
    )
    for stranger in strangers:
        for act in (office.desk.approve, office.desk.rotate, office.desk.unlink):
            with pytest.raises(NotFound, match="there is no link"):
                await act(stranger, link.id)
        assert await office.desk.links(stranger) == []
    with pytest.raises(NotFound, match="there is no account"):
        await office.desk.begin(strangers[1], A, "broker")
    with pytest.raises(Forbidden):
        await office.desk.unlink(principal(permissions=frozenset()), link.id)
    with pytest.raises(NotFound, match="there are broker"):
        await office.desk.begin(ANN, A, "nobody")


async def test_an_ended_link_leaves_no_secret(office: Office) -> None:
    link = await office.linked()
    ended = await office.desk.unlink(BOB, link.id)

    assert ended.state is LinkState.UNLINKED
    assert await office.store.links.counts() == []
    assert await office.desk.links(ANN) == []
    for gone in (link.id, "nothing"):
        with pytest.raises(NotFound, match="there is no link"):
            await office.desk.unlink(ANN, gone)


async def test_a_token_is_refreshed_when_two_thirds_of_its_life_are_over(office: Office) -> None:
    link = await office.linked()
    office.clock.time = HOUR_NS * 2 // 3 - 1
    await office.desk.refresh_due()
    assert office.broker.given == 1
    office.clock.time += 1
    await office.desk.refresh_due()

    [fresh] = await office.desk.links(ANN)
    assert (await office.token(fresh)).access_token == "access-2"
    assert (fresh.revision, fresh.refreshed_at) == (link.revision + 1, HOUR_NS * 2 // 3)


async def test_processes_refresh_one_after_another_and_never_with_an_old_token(
    office: Office,
) -> None:
    link = await office.linked()
    desks = [office.another() for _ in range(3)]
    office.clock.time = HOUR_NS

    await asyncio.gather(*(desk.refresh_due() for desk in desks))

    assert (office.broker.given, office.broker.is_gone) == (2, False)
    [fresh] = await office.desk.links(ANN)
    assert (await office.token(fresh)).refresh_token == "refresh-2"
    assert fresh.revision == link.revision + 1


async def test_nobody_refreshes_what_another_process_is_refreshing(office: Office) -> None:
    link, said = await office.linked(), list[str]()

    async def rotate_too() -> None:
        office.broker.before_answer = None
        with pytest.raises(BrokerUnavailable, match="being refreshed already") as caught:
            await office.another().rotate(BOB, link.id)
        said.append(str(caught.value))

    office.broker.before_answer = rotate_too
    fresh = await office.desk.rotate(ANN, link.id)

    assert len(said) == 1
    assert (office.broker.given, office.broker.is_gone) == (2, False)
    assert (await office.token(fresh)).refresh_token == "refresh-2"


async def test_a_refresh_beside_an_end_leaves_nothing(office: Office) -> None:
    link = await office.linked()

    async def end() -> None:
        await office.another().unlink(BOB, link.id)

    office.broker.before_answer = end
    with pytest.raises(NotFound, match="changed in the meantime"):
        await office.desk.rotate(ANN, link.id)
    assert await office.store.links.counts() == []

    # Who refreshes what is due goes on with the next one.
    office.broker.before_answer = None
    link = await office.linked()
    office.broker.before_answer = end
    office.clock.time += HOUR_NS
    await office.desk.refresh_due()
    assert await office.store.links.counts() == []


async def test_a_broker_that_takes_a_token_back_must_be_asked_for_consent_again(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    link = await office.linked()
    office.broker.is_gone = True
    office.clock.time = HOUR_NS
    await office.desk.refresh_due()

    [gone] = await office.desk.links(ANN)
    assert gone.state is LinkState.REAUTHORIZE
    assert await office.store.links.counts() == []
    assert "invalid_grant" in caplog.text
    with pytest.raises(NotFound, match="is REAUTHORIZE"):
        await office.desk.rotate(ANN, link.id)


async def test_a_broker_that_is_down_leaves_the_token_and_alarms_near_its_end(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    link = await office.linked()
    office.broker.fails = "it does not answer"
    for at, level in ((HOUR_NS * 2 // 3, "WARNING"), (HOUR_NS - 1, "ERROR")):
        caplog.clear()
        office.clock.time = at
        await office.desk.refresh_due()
        assert [each.levelname for each in caplog.records] == [level]
    with pytest.raises(BrokerUnavailable, match="does not answer"):
        await office.desk.rotate(ANN, link.id)
    assert (await office.token(link)).access_token == "access-1"


async def test_keys_are_rotated_while_tokens_are_refreshed(office: Office) -> None:
    links = [await office.linked() for _ in range(4)]
    old = json.loads(office.file.read_text())["keys"]
    office.file.unlink()
    make_keys(office.file, os.urandom)
    new = json.loads(office.file.read_text())["keys"]
    office.file.write_text(json.dumps({"keys": new + old}))
    office.broker.fails = "later"
    refreshed = office.vault.seal(
        replace(links[0], revision=links[0].revision + 1), SecretField.TOKEN, b"{}"
    )
    newer = replace(links[0], revision=links[0].revision + 1)

    async def traffic() -> None:
        await office.store.links.put(newer, {SecretField.TOKEN: await refreshed}, None)

    told, _ = await asyncio.gather(rotate(office.store, office.vault, "ann"), traffic())

    assert told.endswith(f"secrets are under local {new[0]['kid']} now")
    assert await office.store.links.counts() == [("local", new[0]["kid"], 4)]
    office.file.write_text(json.dumps({"keys": new}))
    for link in links[1:]:
        assert (await office.token(link)).access_token.startswith("access-")


async def test_a_rotation_that_fails_in_the_middle_is_on_record(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        await office.linked()
    old = json.loads(office.file.read_text())["keys"]
    office.file.unlink()
    make_keys(office.file, os.urandom)
    new = json.loads(office.file.read_text())["keys"]
    office.file.write_text(json.dumps({"keys": new + old}))
    rewrapped, done = office.vault.rewrapped, list[SealedSecret]()

    async def once(secret: SealedSecret) -> SealedSecret:
        if done:
            raise KeyUnavailable("the keeper is away")
        done.append(secret)
        return await rewrapped(secret)

    monkeypatch.setattr(office.vault, "rewrapped", once)
    with pytest.raises(KeyUnavailable):
        await rotate(office.store, office.vault, "ann")

    _, act = (await office.store.audit.records(ACTS, 0, 50))[-1]
    assert (act["kind"], act["user_id"]) == ("ROTATE_KEYS", "ann")
    assert act["detail"] == f"1 secrets are under local {new[0]['kid']} now"


async def test_a_secret_in_another_links_place_does_not_open(office: Office) -> None:
    await office.linked()
    await office.linked()
    first, second = sorted(link.id for link in await office.desk.links(ANN))
    both = "wrapped_key = (SELECT wrapped_key FROM sealed_secrets WHERE link_id = '{1}')"
    both += ", ciphertext = (SELECT ciphertext FROM sealed_secrets WHERE link_id = '{1}')"
    both += ", nonce = (SELECT nonce FROM sealed_secrets WHERE link_id = '{1}')"
    statement = f"UPDATE sealed_secrets SET {both} WHERE link_id = '{{0}}'".format(first, second)
    await office.store._database.write(Connection.text, statement)

    with pytest.raises(GatewayError, match="cannot be opened"):
        await office.desk.rotate(ANN, first)
    assert (await office.desk.rotate(ANN, second)).state is LinkState.ACTIVE


async def test_nothing_of_a_token_is_in_the_store_or_the_log(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    link = await office.linked()
    await office.desk.rotate(ANN, link.id)

    def dump(connection: Connection) -> str:
        rows = [*connection.text("SELECT * FROM links"), *connection.text("SELECT * FROM acts")]
        rows += connection.text("SELECT * FROM sealed_secrets")
        return repr(rows)

    told = await office.store._database.read(dump) + caplog.text
    assert "access-" not in told
    assert "refresh-" not in told
    assert "verifier" not in told
