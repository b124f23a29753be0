"""The audit record: administrative acts, and chains that show whether a record was changed.

A chain is a gapless sequence of records: the reports of an account, or the administrative acts.
Each record has a leaf, the hash of its content; each leaf is linked to all before it. Pages of
leaves are gathered under a Merkle root as RFC 9162 has it (section 2.1), which is signed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Protocol

from trading.ids import AccountID, TenantID, UserID
from trading.permission import Principal

# Of RFC 9162, and two more: what is hashed as one thing must not pass for another.
_LEAF, _NODE, _LINK, _GENESIS = b"\x00", b"\x01", b"\x02", b"\x03"

ACTS = "acts"
"""The name of the chain of administrative acts."""

_OF_ACCOUNT = "account:"


@unique
class ActKind(StrEnum):
    """What was done, or tried, beside trading."""

    SET_TRADING_STATE = "SET_TRADING_STATE"
    APPROVE_TRADING_STATE = "APPROVE_TRADING_STATE"
    SET_LIMITS = "SET_LIMITS"
    APPROVE_LIMITS = "APPROVE_LIMITS"
    DENY_LIMITS = "DENY_LIMITS"
    WITHDRAW_LIMITS = "WITHDRAW_LIMITS"
    ADD_ACCOUNT = "ADD_ACCOUNT"
    ADD_USER = "ADD_USER"
    CHANGE_USER = "CHANGE_USER"
    PUBLISH_DOCUMENTS = "PUBLISH_DOCUMENTS"
    RETIRE_DOCUMENTS = "RETIRE_DOCUMENTS"
    BIND_CLIENT = "BIND_CLIENT"
    UNBIND_CLIENT = "UNBIND_CLIENT"
    EXPORT_AUDIT = "EXPORT_AUDIT"
    REVOKE_TOKENS = "REVOKE_TOKENS"
    BEGIN_LINK = "BEGIN_LINK"
    COMPLETE_LINK = "COMPLETE_LINK"
    APPROVE_LINK = "APPROVE_LINK"
    ROTATE_LINK = "ROTATE_LINK"
    UNLINK = "UNLINK"
    ROTATE_KEYS = "ROTATE_KEYS"


@unique
class ActDecision(StrEnum):
    """What became of an act."""

    DONE = "DONE"
    AWAITS_APPROVAL = "AWAITS_APPROVAL"
    REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """An administrative act: who did what to what, when (UTC nanoseconds), from where.

    `number` counts acts without a gap, once recorded. `token_id` is the `jti` of the caller's token
    and `address` where the caller's connection came from; both are empty at the command line.
    """

    kind: ActKind
    decision: ActDecision
    subject: str
    detail: str
    tenant_id: TenantID | None
    user_id: UserID
    role: str
    client_id: str
    token_id: str
    address: str
    at: int
    number: int = 0


def act(
    kind: ActKind,
    decision: ActDecision,
    principal: Principal,
    at: int,
    *,
    subject: str,
    detail: str = "",
) -> Act:
    """Say what a principal does, as far as is known of it."""
    return Act(
        kind=kind,
        decision=decision,
        subject=subject,
        detail=detail,
        tenant_id=principal.tenant_id,
        user_id=principal.user_id,
        role=principal.role,
        client_id=principal.client_id,
        token_id=principal.token_id,
        address=principal.address,
        at=at,
    )


class ActLog(Protocol):
    """Where acts are recorded that changed nothing, because they were refused."""

    async def record(self, act: Act) -> None:
        """Record an act in a transaction of its own. Raises StoreUnavailable."""


def chain_of(account_id: AccountID) -> str:
    """Name the chain of an account's reports."""
    return f"{_OF_ACCOUNT}{account_id}"


def account_of(chain: str) -> AccountID | None:
    """Return the account whose reports a chain has, or None for the acts."""
    is_account = chain.startswith(_OF_ACCOUNT)
    return AccountID(chain.removeprefix(_OF_ACCOUNT)) if is_account else None


type Content = Mapping[str, str | int | bool]
"""What a record says, by its columns' names; an empty column is left out, so that a column that
comes later changes no leaf of before."""


def canonical(value: object) -> bytes:
    """Write JSON in the one way that is hashed: keys sorted, no spaces, UTF-8."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text.encode()


def leaf(content: Content) -> bytes:
    """Return the hash of a record's content, wherever it stands."""
    return _hash(_LEAF + canonical(content))


def genesis(chain: str) -> bytes:
    """Return the hash that a chain begins with, which no other chain has."""
    return _hash(_GENESIS + chain.encode())


def linked(head: bytes, first: int, leaves: Sequence[bytes]) -> bytes:
    """Return the head of a chain after more leaves, each bound to its position and all before."""
    for position, each in enumerate(leaves, first):
        head = _hash(_LINK + head + position.to_bytes(8) + each)
    return head


@dataclass(frozen=True, slots=True)
class Page:
    """A run of a chain that was sealed at once: the leaves from `first` on, and the head after."""

    chain: str
    first: int
    leaves: tuple[bytes, ...]
    head: bytes

    @property
    def last(self) -> int:
        """The position of the last leaf."""
        return self.first + len(self.leaves) - 1

    @property
    def digest(self) -> bytes:
        """The page's leaf in the Merkle tree of its seal."""
        said = {
            "chain": self.chain,
            "first": self.first,
            "last": self.last,
            "head": self.head.hex(),
        }
        return _hash(_LEAF + canonical(said))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """A signed Merkle root over pages; each seal names the one before it by its hash."""

    number: int
    at: int
    previous: str
    root: str
    pages: int
    signature: str = ""

    @property
    def statement(self) -> bytes:
        """What is signed."""
        names = ("number", "at", "previous", "root", "pages")
        return canonical({name: getattr(self, name) for name in names})

    @property
    def digest(self) -> str:
        """The hash by which the next seal names this one."""
        return _hash(self.statement).hex()


def merkle_root(digests: Sequence[bytes]) -> bytes:
    """Return the Merkle tree hash of a list (RFC 9162, 2.1.1)."""
    if not digests:
        return _hash(b"")
    if len(digests) == 1:
        return digests[0]
    split = _split(len(digests))
    return _hash(_NODE + merkle_root(digests[:split]) + merkle_root(digests[split:]))


def inclusion_path(digests: Sequence[bytes], index: int) -> list[bytes]:
    """Return the inclusion proof of one of a list (RFC 9162, 2.1.3.1), from below."""
    if len(digests) == 1:
        return []
    split = _split(len(digests))
    if index < split:
        return [*inclusion_path(digests[:split], index), merkle_root(digests[split:])]
    return [*inclusion_path(digests[split:], index - split), merkle_root(digests[:split])]


def root_from(digest: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root that an inclusion proof leads to, or None where its length cannot be."""
    if size == 1:
        return None if path else digest
    if not path:
        return None
    split, *below, last = _split(size), *path
    if index < split:
        left = root_from(digest, index, split, below)
        return None if left is None else _hash(_NODE + left + last)
    right = root_from(digest, index - split, size - split, below)
    return None if right is None else _hash(_NODE + last + right)


def _split(size: int) -> int:
    """Return the largest power of two below a size."""
    return 1 << (size - 1).bit_length() - 1


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
