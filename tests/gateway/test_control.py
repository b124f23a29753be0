"""Halting from outside: the command line on the store itself, and the file beside it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.haltfile import halt_file
from tests.gateway.client import Client
from tests.gateway.conftest import Command
from tests.gateway.documents import PLACE
from tests.gateway.process import Running, running
from tests.gateway.tokens import minted

RESTING = {
    "accountId": "equity",
    "symbol": "AAPL",
    "side": "BUY",
    "ordType": "LIMIT",
    "price": "222",
    "orderQty": "1",
    "timeInForce": "GOOD_TILL_CANCEL",
}


@pytest.fixture(scope="module")
def open_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("halted")
    with running(folder / "data") as gateway:
        yield gateway


def word(name: str, data: Path, scope: str = "all", by: str = "ann", **more: str) -> list[object]:
    extra = [part for key, value in more.items() for part in (f"--{key}", value)]
    return [name, "--scope", scope, "--by", by, "--reason", "a drill", "--data", data, *extra]


def test_one_halts_and_two_release_without_a_gateway(command: Command, data: Path) -> None:
    halted = command(*word("halt", data))
    assert halted.status == 0
    assert "all is closed, epoch 1; accounts changed: 2" in halted.out
    assert "no process owns a session" in halted.out
    assert "HALTED NONE, by ann: a drill" in command("states", "--data", data).out

    request = command(*word("release", data)).out.split("drawbridge approve ")[1].split()[0]
    refused = command("approve", request, "--by", "ann", "--data", data).refused()
    assert "another person" in refused
    assert "all is HALTED" not in command("states", "--data", data).out
    assert command("approve", request, "--by", "bob", "--data", data).out == "all is ACTIVE\n"
    assert command("states", "--data", data).out == "all is ACTIVE\n"


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ("everything", "say one of all, broker"),
        ("all:of-it", "say `all`"),
        ("account", "say `all`"),
        ("account:nobody", "no account nobody"),
        ("instrument:NOPE", "no instrument"),
        ("tenant:nope", "no tenant nope"),
        ("broker:nope", "no broker:nope"),
        ("user:nope", "no user:nope"),
    ],
)
def test_a_scope_that_is_none_is_refused(
    command: Command, data: Path, scope: str, words: str
) -> None:
    assert words in command(*word("halt", data, scope)).refused()


def test_flattening_a_strategy_is_refused(command: Command, data: Path) -> None:
    asked = word("halt", data, "strategy:momentum", mode="flatten")

    assert "a position is an account's" in command(*asked).refused()


def test_a_directory_without_a_store_is_refused(command: Command, tmp_path: Path) -> None:
    assert "there is no store" in command(*word("halt", tmp_path)).refused()


@pytest.mark.slow
def test_a_running_gateway_heeds_the_command_line(command: Command, open_gateway: Running) -> None:
    data = open_gateway.data
    with Client(open_gateway.url, minted(data)) as trader:
        resting = trader.data(PLACE, input={**RESTING, "clOrdId": "resting"}, waitFor="BROKER")
        halted = command(*word("halt", data, "instrument:AAPL", mode="cancel-all"))
        assert halted.status == 0, halted
        assert "confirmed: paper" in halted.out
        # It may be canceled by the time that the working orders are listed.
        assert "may still appear at the broker: 0" in halted.out

        assert trader.finished(resting["id"])["ordStatus"] == "CANCELED"
        refused = trader.data(PLACE, input={**RESTING, "clOrdId": "late"}, waitFor="BROKER")
        assert (refused["ordStatus"], refused["rejectedBy"]) == ("REJECTED", "GATEWAY")
        assert "TRADING_HALTED" in refused["text"]
        elsewhere = {**RESTING, "symbol": "MSFT", "price": "415", "clOrdId": "elsewhere"}
        assert trader.data(PLACE, input=elsewhere, waitFor="BROKER")["ordStatus"] == "NEW"


@pytest.mark.slow
def test_a_running_gateway_heeds_the_file(command: Command, open_gateway: Running) -> None:
    data = open_gateway.data
    halt_file(data).write_text("the day that it is down")
    with Client(open_gateway.url, minted(data)) as trader:
        order = {**RESTING, "symbol": "MSFT", "price": "415"}

        def is_refused(number: int) -> bool:
            asked = {**order, "clOrdId": f"by-file-{number}"}
            return bool(
                trader.data(PLACE, input=asked, waitFor="COMMIT")["ordStatus"] == "REJECTED"
            )

        # Until it is recorded orders are accepted, and do not leave.
        assert any(is_refused(number) for number in range(200))
    assert "by halt-file: the day that it is down" in command("states", "--data", data).out
