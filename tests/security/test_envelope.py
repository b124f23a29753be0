"""What is sealed opens in its own place alone, whoever keeps the keys, and moves to new ones."""

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.awskms import AwsKms
from security.envelope import (
    Envelope,
    KeyProvider,
    KeyUnavailable,
    Place,
    SecretRefused,
)
from security.keyfile import LocalKeys, make_keys
from security.transit import Transit
from security.watched import KeysRefused
from tests.security import keepers

PLACE = Place(tenant_id="demo", link_id="alpaca-1", field="token", revision=3)
ELSEWHERE = {
    "tenant_id": "other",
    "link_id": "alpaca-2",
    "field": "refresh_token",
    "revision": 4,
}


@dataclass
class Keeper:
    """A provider of some kind, and what gives it a newer key."""

    provider: KeyProvider
    rotate: Callable[[], Awaitable[KeyProvider]]


def local(directory: Path) -> Keeper:
    file = directory / "keys.json"
    make_keys(file, os.urandom)
    provider = LocalKeys(file, os.urandom)

    async def rotate() -> KeyProvider:
        old = json.loads(file.read_text())["keys"]
        file.unlink()
        make_keys(file, os.urandom)
        written(file, json.loads(file.read_text())["keys"] + old)
        return provider

    return Keeper(provider, rotate)


def written(file: Path, keys: list[object]) -> None:
    file.write_text(json.dumps({"keys": keys}))


def of_hsm(directory: Path) -> Keeper:
    pin = keepers.softhsm(directory, "first", "second")

    async def rotate() -> KeyProvider:
        return keepers.hsm(pin, "second")

    return Keeper(keepers.hsm(pin, "first"), rotate)


def of_aws(stack: ExitStack, patch: pytest.MonkeyPatch) -> Keeper:
    url = stack.enter_context(keepers.moto())
    patch.setenv("AWS_ENDPOINT_URL_KMS", url)
    patch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.setenv(name, "of-a-test")
    # All of moto's servers in a process know the same keys.
    alias = f"alias/{os.urandom(8).hex()}"
    kms = AwsKms.of(alias)
    first, second = (kms._client.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    kms._client.create_alias(AliasName=alias, TargetKeyId=first)

    async def rotate() -> KeyProvider:
        kms._client.update_alias(AliasName=alias, TargetKeyId=second)
        return kms

    return Keeper(kms, rotate)


def of_vault(directory: Path, stack: ExitStack) -> Keeper:
    url, served = stack.enter_context(keepers.vault())
    token = directory / "token"
    token.write_text(keepers.VAULT_TOKEN)
    provider = Transit(url, "transit", "drawbridge", token)

    async def rotate() -> KeyProvider:
        served.keys.append(os.urandom(32))
        return provider

    return Keeper(provider, rotate)


@pytest.fixture(
    params=[
        "local",
        "vault",
        pytest.param("pkcs11", marks=pytest.mark.services),
        pytest.param("aws-kms", marks=pytest.mark.services),
    ]
)
async def keeper(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Keeper]:
    with ExitStack() as stack:
        match str(request.param):
            case "local":
                yield local(tmp_path)
            case "vault":
                yield of_vault(tmp_path, stack)
            case "pkcs11":
                yield of_hsm(tmp_path)
            case _:
                yield of_aws(stack, monkeypatch)


def envelope(*providers: KeyProvider) -> Envelope:
    return Envelope({each.name: each for each in providers}, providers[0].name, os.urandom)


async def test_a_secret_opens_in_its_own_place_alone(keeper: Keeper) -> None:
    opened = envelope(keeper.provider)
    sealed = await opened.seal(b"a refresh token", PLACE)

    assert await opened.open(sealed, PLACE) == b"a refresh token"
    assert b"refresh" not in sealed.ciphertext
    for name, value in ELSEWHERE.items():
        with pytest.raises(SecretRefused):
            await opened.open(sealed, replace(PLACE, **{name: value}))  # type: ignore[arg-type]


async def test_no_part_of_one_secret_serves_another(keeper: Keeper) -> None:
    opened = envelope(keeper.provider)
    newer = replace(PLACE, revision=4)
    old, new = await opened.seal(b"old", PLACE), await opened.seal(b"new", newer)

    for mixed in (
        replace(new, key=old.key),
        replace(new, nonce=old.nonce),
        replace(new, ciphertext=old.ciphertext),
        replace(new, ciphertext=new.ciphertext[:-1] + bytes([new.ciphertext[-1] ^ 1])),
        replace(new, ciphertext=b""),
        old,
    ):
        with pytest.raises(SecretRefused):
            await opened.open(mixed, newer)
    again = await opened.seal(b"old", PLACE)
    assert (again.key.blob, again.ciphertext) != (old.key.blob, old.ciphertext)


async def test_a_key_is_rotated_beneath_a_secret_that_stays_as_it_is(keeper: Keeper) -> None:
    before = envelope(keeper.provider)
    sealed = await before.seal(b"kept", PLACE)
    assert await before.key_id() == (sealed.key.provider, sealed.key.key_id)
    after = envelope(await keeper.rotate())

    assert await after.open(sealed, PLACE) == b"kept"
    assert await after.key_id() != (sealed.key.provider, sealed.key.key_id)
    moved = await after.rewrap(sealed, PLACE)
    assert (moved.nonce, moved.ciphertext) == (sealed.nonce, sealed.ciphertext)
    assert (moved.key.provider, moved.key.key_id) == await after.key_id()
    assert await after.open(moved, PLACE) == b"kept"
    with pytest.raises(SecretRefused):
        await after.rewrap(sealed, replace(PLACE, tenant_id="other"))


async def test_a_secret_moves_to_another_keeper(keeper: Keeper, tmp_path: Path) -> None:
    sealed = await envelope(keeper.provider).seal(b"kept", PLACE)
    (tmp_path / "new").mkdir()
    theirs = local(tmp_path / "new").provider
    if keeper.provider.name == theirs.name:
        pytest.skip("two of one kind are no two keepers")

    moved = await envelope(theirs, keeper.provider).rewrap(sealed, PLACE)

    assert await envelope(theirs).open(moved, PLACE) == b"kept"
    with pytest.raises(SecretRefused, match="configured are local"):
        await envelope(theirs).open(sealed, PLACE)


@given(secret=st.binary(max_size=200), names=st.tuples(*[st.text(max_size=9)] * 3))
async def test_any_secret_comes_back_from_any_place(
    tmp_path_factory: pytest.TempPathFactory, secret: bytes, names: tuple[str, str, str]
) -> None:
    place = Place(tenant_id=names[0], link_id=names[1], field=names[2], revision=1)
    opened = envelope(local(tmp_path_factory.mktemp("keys")).provider)

    assert await opened.open(await opened.seal(secret, place), place) == secret


async def test_a_key_that_is_gone_opens_nothing(tmp_path: Path) -> None:
    sealed = await envelope(local(tmp_path).provider).seal(b"kept", PLACE)
    (tmp_path / "keys.json").unlink()

    with pytest.raises(SecretRefused, match="has not"):
        await envelope(local(tmp_path).provider).open(sealed, PLACE)


async def test_a_file_that_is_spoiled_in_use_leaves_the_keys_of_before(tmp_path: Path) -> None:
    keys = envelope(local(tmp_path).provider)
    sealed = await keys.seal(b"kept", PLACE)
    (tmp_path / "keys.json").write_text("{")

    assert await keys.open(sealed, PLACE) == b"kept"


@pytest.mark.parametrize("text", ["", "[]", '{"keys": []}', '{"keys": [{"kid": "a", "k": "YQ"}]}'])
def test_a_file_without_good_keys_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys.json").write_text(text)

    with pytest.raises(KeysRefused, match="no JWK Set of octet keys"):
        LocalKeys(tmp_path / "keys.json", os.urandom)


def test_a_file_that_everybody_may_read_is_refused(tmp_path: Path) -> None:
    local(tmp_path)
    (tmp_path / "keys.json").chmod(0o644)

    with pytest.raises(KeysRefused, match="everybody may read"):
        LocalKeys(tmp_path / "keys.json", os.urandom)


async def test_a_vault_that_is_down_or_refuses_says_which(tmp_path: Path) -> None:
    with ExitStack() as stack:
        url, served = stack.enter_context(keepers.vault())
        token = tmp_path / "token"
        keys = envelope(Transit(url, "transit", "drawbridge", token))
        with pytest.raises(KeysRefused, match="mount Vault's token"):
            await keys.seal(b"x", PLACE)
        token.write_text("another")
        with pytest.raises(SecretRefused, match="with 403"):
            await keys.seal(b"x", PLACE)
        token.write_text(keepers.VAULT_TOKEN)
        served.status = 503
        with pytest.raises(KeyUnavailable, match="503"):
            await keys.seal(b"x", PLACE)
    with pytest.raises(KeyUnavailable, match="not to be had"):
        await keys.seal(b"x", PLACE)


@pytest.mark.services
async def test_a_token_without_its_pin_or_key_says_so(tmp_path: Path) -> None:
    pin = keepers.softhsm(tmp_path, "first")
    pin.write_text("wrong")
    with pytest.raises(KeyUnavailable, match="PinIncorrect"):
        await envelope(keepers.hsm(pin, "first")).seal(b"x", PLACE)
    with pytest.raises(KeysRefused, match="mount the token's PIN"):
        await envelope(keepers.hsm(tmp_path / "none", "first")).seal(b"x", PLACE)
    pin.write_text(keepers.PIN)
    with pytest.raises(SecretRefused, match="has not the key"):
        await envelope(keepers.hsm(pin, "none")).seal(b"x", PLACE)
