"""Chains and trees: what is linked cannot be changed, dropped or moved without being seen."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.audit import (
    ACTS,
    account_of,
    canonical,
    chain_of,
    genesis,
    inclusion_path,
    leaf,
    linked,
    merkle_root,
    root_from,
)
from trading.ids import AccountID

DIGESTS = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40)


def test_content_is_hashed_in_one_way_whatever_order_it_comes_in() -> None:
    assert canonical({"b": 1, "a": "é"}) == '{"a":"é","b":1}'.encode()
    assert leaf({"a": "1", "b": 2}) == leaf({"b": 2, "a": "1"})
    assert leaf({"a": "1"}) != leaf({"a": 1})


def test_a_tree_is_that_of_rfc_9162() -> None:
    # The tree of three leaves, written out by hand.
    one, two, three = (hashlib.sha256(bytes([0]) + each).digest() for each in (b"1", b"2", b"3"))
    pair = hashlib.sha256(b"\x01" + one + two).digest()

    assert merkle_root([one, two, three]) == hashlib.sha256(b"\x01" + pair + three).digest()
    assert merkle_root([]) == hashlib.sha256(b"").digest()


@given(DIGESTS, st.data())
def test_an_inclusion_proof_leads_to_the_root_from_its_own_place_alone(
    digests: list[bytes], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(digests) - 1))
    path = inclusion_path(digests, index)

    assert root_from(digests[index], index, len(digests), path) == merkle_root(digests)
    forged = hashlib.sha256(digests[index]).digest()
    assert root_from(forged, index, len(digests), path) != merkle_root(digests)
    assert root_from(digests[index], index, len(digests), [*path, forged]) is None


@given(DIGESTS, st.data())
def test_a_head_changes_with_any_leaf_its_place_and_its_chain(
    leaves: list[bytes], data: st.DataObject
) -> None:
    start = genesis("account:a")
    head = linked(start, 1, leaves)
    at = data.draw(st.integers(0, len(leaves) - 1))
    changed = [*leaves[:at], hashlib.sha256(leaves[at]).digest(), *leaves[at + 1 :]]

    assert linked(start, 1, changed) != head
    assert linked(start, 1, leaves[:at] + leaves[at + 1 :]) != head
    assert linked(start, 2, leaves) != head
    assert linked(genesis("account:b"), 1, leaves) != head
    assert linked(linked(start, 1, leaves[:at]), at + 1, leaves[at:]) == head


@pytest.mark.parametrize(("name", "account_id"), [("account:a", "a"), (ACTS, None)])
def test_a_chain_is_an_accounts_or_that_of_the_acts(name: str, account_id: str | None) -> None:
    assert account_of(name) == account_id
    if account_id:
        assert chain_of(AccountID(account_id)) == name
