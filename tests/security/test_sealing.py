"""The keys of seals: made once, rotated in place, and never taken from a file that all may read."""

import json
from pathlib import Path

import pytest
from joserfc.jwk import OKPKey

from security.sealing import SealKeys, open_keys
from security.watched import KeysRefused


def written(file: Path, *keys: OKPKey, private: bool = True) -> Path:
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps({"keys": [each.as_dict(private=private) for each in keys]}))
    fresh.chmod(0o600)
    fresh.replace(file)
    return file


def test_a_key_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    signature = open_keys(None, tmp_path).sign(b"said")

    assert open_keys(None, tmp_path).verify(signature) == b"said"
    assert (tmp_path / "audit-keys.json").stat().st_mode & 0o077 == 0
    assert '"d"' not in open_keys(None, tmp_path).public()


def test_a_rotated_key_signs_at_once_and_the_one_before_still_verifies(tmp_path: Path) -> None:
    old, new = (OKPKey.generate_key("Ed25519") for _ in range(2))
    keys = SealKeys(written(tmp_path / "keys.json", old))
    before = keys.sign(b"before")
    written(tmp_path / "keys.json", new, old)
    after = keys.sign(b"after")

    assert keys.verify(before) == b"before"
    assert SealKeys(written(tmp_path / "other.json", new)).verify(after) == b"after"
    with pytest.raises(ValueError, match="by no key in"):
        SealKeys(tmp_path / "other.json").verify(before)


def test_a_file_that_is_spoiled_in_use_leaves_the_keys_of_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = written(tmp_path / "keys.json", OKPKey.generate_key("Ed25519"))
    keys = SealKeys(file)
    for spoil in (lambda: file.write_text("{"), file.unlink):
        spoil()
        assert keys.verify(keys.sign(b"said")) == b"said"
    assert caplog.text.count("the keys of before are used") >= 2


def test_public_keys_verify_and_cannot_sign(tmp_path: Path) -> None:
    key = OKPKey.generate_key("Ed25519")
    signature = SealKeys(written(tmp_path / "keys.json", key)).sign(b"said")
    public = SealKeys(written(tmp_path / "public.json", key, private=False))

    assert public.verify(signature) == b"said"
    with pytest.raises(KeysRefused, match="no private key"):
        public.check()


@pytest.mark.parametrize("forged", ["", "a.b.c", "e30.e30.e30"])
def test_what_is_no_signature_is_refused(tmp_path: Path, forged: str) -> None:
    with pytest.raises(ValueError, match="by no key in"):
        open_keys(None, tmp_path).verify(forged)


@pytest.mark.parametrize(
    ("text", "words"), [("{}", "JWK Set"), ("[", "JWK Set"), ('{"keys": []}', "has no keys")]
)
def test_a_file_that_holds_no_keys_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "keys.json").write_text(text)

    with pytest.raises(KeysRefused, match=words):
        SealKeys(tmp_path / "keys.json")


def test_a_private_key_that_everybody_may_read_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path / "keys.json", OKPKey.generate_key("Ed25519"))
    file.chmod(0o644)

    with pytest.raises(KeysRefused, match="everybody may read"):
        SealKeys(file)
    with pytest.raises(KeysRefused, match="cannot be read"):
        SealKeys(tmp_path / "none.json")
