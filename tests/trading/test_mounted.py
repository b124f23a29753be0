"""A mounted text is what its file says now, and what it said last where that is no good."""

from pathlib import Path

import pytest

from trading.mounted import Mounted, now


def good(text: str) -> None:
    if not text.startswith("good"):
        raise ValueError(text)


def test_a_mounted_text_follows_its_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "secret"
    file.write_text("good-1\n")
    text = Mounted.of(file, good)
    file.write_text("good-2")

    assert (text, text.now(), now(text)) == ("good-1", "good-2", "good-2")
    for spoiled in ("bad", ""):
        file.write_text(spoiled)
        assert text.now() == "good-2"
    file.unlink()
    assert text.now() == "good-2"
    assert "good-" not in caplog.text.replace(str(tmp_path), "")


def test_a_text_without_a_file_stays_as_it_is(tmp_path: Path) -> None:
    assert now("plain") == "plain"
    with pytest.raises(OSError, match="none"):
        Mounted.of(tmp_path / "none", good)
    (tmp_path / "bad").write_text("bad")
    with pytest.raises(ValueError, match="bad"):
        Mounted.of(tmp_path / "bad", good)
