"""Registered documents come back as they were published, on either database."""

from dataclasses import replace
from itertools import pairwise

import pytest
from sqlalchemy.exc import IntegrityError

from persistence.document import RegisteredDocument
from persistence.store import SqlStore
from tests.persistence.samples import TENANT, an_act
from trading.audit import ActKind

PLACE = RegisteredDocument(
    client_id="web",
    sha256="a" * 64,
    name="Place",
    text="mutation Place { x }",
    scopes="orders:read orders:write",
    version="1.0",
    rows=100,
    published_at=7,
)
OTHERS = [
    replace(PLACE, client_id="partner", expires_at=9),
    replace(PLACE, sha256="b" * 64, rows=500, name="List", text="query List { ünïcode }"),
]


async def test_what_is_published_is_found_again(store: SqlStore) -> None:
    assert await store.documents.documents() == []
    await store.documents.publish([PLACE, *OTHERS], an_act())

    assert await store.documents.documents() == [OTHERS[0], OTHERS[1], PLACE]


async def test_a_retired_document_says_since_when(store: SqlStore) -> None:
    await store.documents.publish([PLACE, *OTHERS], an_act())
    await store.documents.retire("web", [PLACE.sha256, "unknown"], an_act(at=11))
    await store.documents.retire("web", [PLACE.sha256], an_act(at=12))

    found = {(each.client_id, each.sha256): each for each in await store.documents.documents()}
    assert found["web", PLACE.sha256] == replace(PLACE, retired_at=11)
    assert found["partner", PLACE.sha256].retired_at is None


async def test_published_anew_it_is_not_retired_any_more(store: SqlStore) -> None:
    await store.documents.publish([PLACE], an_act())
    await store.documents.retire("web", [PLACE.sha256], an_act(at=11))
    again = replace(PLACE, version="2.0", published_at=12)
    await store.documents.publish([again], an_act())

    assert await store.documents.documents() == [again]


async def test_every_change_shows_in_the_states(store: SqlStore) -> None:
    seen = [await store.documents.states()]
    for change in (
        store.documents.publish([PLACE], an_act()),
        store.documents.publish([replace(PLACE, rows=200)], an_act()),
        store.documents.publish([replace(PLACE, expires_at=99)], an_act()),
        store.documents.retire("web", [PLACE.sha256], an_act(at=11)),
    ):
        await change
        seen.append(await store.documents.states())

    assert all(one != other for one, other in pairwise(seen))


async def test_clients_are_bound_and_let_go(store: SqlStore) -> None:
    assert await store.documents.bound_clients() == frozenset()
    await store.documents.bind("web", an_act(), is_bound=True)
    await store.documents.bind("partner", an_act(), is_bound=True)
    await store.documents.bind("web", an_act(), is_bound=False)

    assert await store.documents.bound_clients() == {"partner"}


async def test_what_is_done_and_its_act_are_recorded_together_or_not_at_all(
    store: SqlStore,
) -> None:
    published, nobodys = an_act(kind=ActKind.PUBLISH_DOCUMENTS), an_act(user_id=None)
    await store.documents.publish([PLACE], published)
    for change in (
        store.documents.publish([replace(PLACE, rows=200)], nobodys),
        store.documents.retire("web", [PLACE.sha256], nobodys),
        store.documents.bind("web", nobodys, is_bound=True),
    ):
        with pytest.raises(IntegrityError):
            await change

    assert await store.documents.documents() == [PLACE]
    assert await store.documents.bound_clients() == frozenset()
    [act] = await store.audit.acts(TENANT, 10, 1 << 62)
    assert replace(act, number=0) == published
