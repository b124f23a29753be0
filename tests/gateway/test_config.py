"""Settings are read from variables and options, and errors name what is wrong and the remedy."""

from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.config import (
    ConfigError,
    HostPort,
    Role,
    Secret,
    Settings,
    check,
    describe,
    from_environment,
    with_options,
)
from resolvers.bounds import Bounds
from security.rates import QUOTED, Traffic
from tests.gateway.conftest import Command
from tests.tidy.rules import ROOT
from trading.ports import Environment

GOOD = {
    "ENVIRONMENT": ("paper", Environment.PAPER),
    "HOST": ("::1", "::1"),
    "PORT": ("8123", 8123),
    "DATA": ("elsewhere/data", Path("elsewhere/data")),
    "QUOTES": ("quotes.csv", "quotes.csv"),
    "SPEED": ("2.5", Decimal("2.5")),
    "SEED": ("7", 7),
    "FAULTS": ("faults.json", Path("faults.json")),
    "DATABASE_URL": ("postgresql://u:p@db:5432/d", Secret("postgresql://u:p@db:5432/d")),
    "AMQP_URL": ("amqps://u:p@mq/v", Secret("amqps://u:p@mq/v")),
    "REDIS_URL": ("rediss://:p@cache/1", Secret("rediss://:p@cache/1")),
    "EXCHANGE": ("::1:8100", HostPort("::1", 8100)),
    "BROKER": ("alpaca", "alpaca"),
    "BROKER_URL": ("https://x.example/", "https://x.example/"),
    "BROKER_DATA_URL": ("wss://x.example/v2", "wss://x.example/v2"),
    "BROKER_CREDENTIALS": ("key", Path("key")),
    "BROKER_ACCOUNT": ("a=X1,b=X2", "a=X1,b=X2"),
    "BROKER_MAINTENANCE": ("Fri 16:00-Fri 20:00", "Fri 16:00-Fri 20:00"),
    "SYMBOLS": ("AAPL", "AAPL"),
    "ROLE": ("session", Role.SESSION),
    **{f"MAX_{name.upper()}": ("7", 7) for name in Bounds.__dataclass_fields__},
    "OPERATION_DEADLINE_S": ("7", 7),
    "ISSUER": ("https://idp.example/", "https://idp.example/"),
    "JWKS_URL": ("http://127.0.0.1:9000/jwks", "http://127.0.0.1:9000/jwks"),
    "INTROSPECTION_CLIENT": ("gateway", "gateway"),
    "INTROSPECTION_SECRET": ("secret", Path("secret")),
    "PUBLIC_URL": ("https://gw.example/graphql", "https://gw.example/graphql"),
    "TRUSTED_PROXIES": ("10.0.0.5, ::1/128", (ip_network("10.0.0.5"), ip_network("::1"))),
    "AUDIT_KEYS": ("keys.json", Path("keys.json")),
    **{f"RATE_{each.upper()}": ("7", 7) for each in (*Traffic, "refused")},
    **{f"QUOTA_{each.upper()}": ("7", 7) for each in QUOTED},
    "KEYS": ("aws-kms:alias/drawbridge,local", "aws-kms:alias/drawbridge,local"),
    "VAULT_TOKEN": ("token", Path("token")),
    "PKCS11_PIN": ("pin", Path("pin")),
    "LINKS": ("links.json", Path("links.json")),
    "LOG_LEVEL": ("debug", "DEBUG"),
}
BAD = {
    "ENVIRONMENT": ["production", "", "SIM"],
    "HOST": ["example.com", "", "127.0.0.1:80", "256.0.0.1"],
    "PORT": ["0", "65536", "-1", "http", "", "8000.0", "٨٠٠٠"],
    "DATA": [""],
    "QUOTES": [""],
    "SPEED": ["-1", "fast", "", "NaN", "Infinity", "sNaN"],
    "SEED": ["-1", "one", "1.5", ""],
    "FAULTS": [""],
    "DATABASE_URL": ["", "db", "mysql://db/d", "postgresql:///d", "postgresql://[db/d"],
    "AMQP_URL": ["", "mq", "http://mq/", "amqp://"],
    "REDIS_URL": ["", "cache", "amqp://cache/", "redis:///0"],
    "EXCHANGE": ["", "8100", "host:", ":8100", "host:0", "host:port"],
    "BROKER": [""],
    "BROKER_URL": ["", "host:80", "ftp://x/", "https://"],
    "BROKER_DATA_URL": ["", "https://x/", "wss://"],
    "BROKER_CREDENTIALS": [""],
    "BROKER_ACCOUNT": ["", "a,b", "a=", "=X1", "a=X1,a=X2", "a=X1,"],
    "BROKER_MAINTENANCE": ["", "Fri 16:00", "Fri 16:00-Fri 24:00", "16:00-17:00"],
    "SYMBOLS": [""],
    "ROLE": ["", "gateway", "ALL"],
    **{
        name: ["0", "-1", "1.5", "", "many", "10000001"] for name in GOOD if name.startswith("MAX_")
    },
    "OPERATION_DEADLINE_S": ["0", "-1", "1.5", ""],
    "ISSUER": ["", "idp", "http://idp.example/", "ftp://idp", "https://idp/?a=b", "https://idp#a"],
    "JWKS_URL": ["", "http://idp.example/jwks", "file:///etc/passwd"],
    "INTROSPECTION_CLIENT": [""],
    "INTROSPECTION_SECRET": [""],
    "PUBLIC_URL": ["", "gw.example", "http://gw.example/graphql"],
    "TRUSTED_PROXIES": ["", "proxy", "10.0.0.1/8", "10.0.0.5,"],
    "AUDIT_KEYS": [""],
    **{
        name: ["0", "-1", "1.5", "", "many"]
        for name in (
            *(f"RATE_{each.upper()}" for each in (*Traffic, "refused")),
            *(f"QUOTA_{each.upper()}" for each in QUOTED),
        )
    },
    "KEYS": [""],
    "VAULT_TOKEN": [""],
    "PKCS11_PIN": [""],
    "LINKS": [""],
    "LOG_LEVEL": ["LOUD", "", "NOTSET"],
}


def named(variables: dict[str, str]) -> dict[str, str]:
    return {f"DRAWBRIDGE_{name}": text for name, text in variables.items()}


def test_the_table_here_has_every_setting() -> None:
    assert {name.lower() for name in GOOD} == set(Settings.__slots__) == {n.lower() for n in BAD}


@pytest.mark.parametrize("name", GOOD)
def test_a_variable_sets_its_setting_and_no_other(name: str) -> None:
    text, value = GOOD[name]
    settings = from_environment(named({name: text}))

    plain = Settings()
    changed = {e for e in Settings.__slots__ if getattr(settings, e) != getattr(plain, e)}
    assert getattr(settings, name.lower()) == value
    assert settings != Settings()
    assert with_options(Settings(), {name.lower(): text}) == settings
    assert changed == {name.lower()}


@pytest.mark.parametrize(
    ("name", "text"), [(n, text) for n, texts in BAD.items() for text in texts]
)
def test_a_bad_value_is_refused_by_the_name_of_its_variable(name: str, text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        from_environment(named({name: text}))

    words = str(refused.value)
    shown = "…" if isinstance(GOOD[name][1], Secret) else repr(text)
    assert words.startswith(f"DRAWBRIDGE_{name}={shown}: ")
    assert "say " in words


def test_a_bad_option_is_refused_by_its_name() -> None:
    with pytest.raises(ConfigError, match=r"^--log-level LOUD: say one of DEBUG, INFO"):
        with_options(Settings(), {"log_level": "LOUD"})


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        from_environment(named({"PORT": "x", "SPEED": "y", "COLOR": "red"}))

    assert len(str(refused.value).splitlines()) == 3


def test_an_unknown_variable_is_refused_with_what_was_probably_meant() -> None:
    with pytest.raises(
        ConfigError, match="DRAWBRIDGE_PROT is not a setting; did you mean"
    ) as wrong:
        from_environment({"DRAWBRIDGE_PROT": "8000"})

    assert str(wrong.value).endswith("did you mean DRAWBRIDGE_PORT?")


def test_an_unknown_variable_like_no_other_is_answered_with_all_there_are() -> None:
    with pytest.raises(ConfigError) as wrong:
        from_environment({"DRAWBRIDGE_XYZZY": "1"})

    assert all(f"DRAWBRIDGE_{name}" in str(wrong.value) for name in GOOD)


def test_variables_of_others_and_of_tests_are_left_alone() -> None:
    assert from_environment({"PORT": "x", "DRAWBRIDGE_TEST_PORT": "x"}) == Settings()


def test_an_option_overrides_its_variable() -> None:
    settings = from_environment(named({"PORT": "8123", "SEED": "5"}))

    overridden = with_options(settings, {"port": "9000", "seed": None})
    assert (overridden.port, overridden.seed) == (9000, 5)


def test_the_greatest_speed_can_be_said_in_a_word() -> None:
    assert with_options(Settings(), {"speed": "max"}).speed == 0


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"ENVIRONMENT": "live"}, "DRAWBRIDGE_ENVIRONMENT=live: .* set it to sim"),
        ({"ENVIRONMENT": "paper"}, "DRAWBRIDGE_ENVIRONMENT=paper: .* set it to sim"),
        ({"HOST": "0.0.0.0"}, "DRAWBRIDGE_HOST=0.0.0.0: .* use 127.0.0.1"),
        ({"JWKS_URL": "https://idp/jwks"}, "DRAWBRIDGE_JWKS_URL is set, but DRAWBRIDGE_ISSUER"),
        (
            {"ISSUER": "https://idp", "INTROSPECTION_CLIENT": "gateway"},
            "DRAWBRIDGE_INTROSPECTION_SECRET: to ask about opaque tokens",
        ),
        (
            {"ISSUER": "https://idp", "INTROSPECTION_CLIENT": "a", "INTROSPECTION_SECRET": "none"},
            "DRAWBRIDGE_INTROSPECTION_SECRET=none: there is no such file",
        ),
        ({"QUOTES": "absent.csv"}, "DRAWBRIDGE_QUOTES=absent.csv: there is no such file; say"),
        ({"FAULTS": "absent.json"}, "DRAWBRIDGE_FAULTS=absent.json: there is no such file"),
    ],
)
def test_what_cannot_work_together_is_refused(variables: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check(from_environment(named(variables)))


def test_what_is_described_would_give_the_same_settings() -> None:
    shown = {name: text for name, (text, value) in GOOD.items() if not isinstance(value, Secret)}
    settings = from_environment(named(shown))

    described = dict(line.split("=", 1) for line in describe(settings).splitlines())
    set_alone = {name: text for name, text in described.items() if text}
    assert from_environment(set_alone) == settings


def test_check_config_shows_what_would_run(command: Command) -> None:
    ran = command("check-config", "--port", "8124", port="8123", seed="5")

    assert (ran.status, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert "DRAWBRIDGE_PORT=8124" in lines
    assert "DRAWBRIDGE_SEED=5" in lines
    assert "DRAWBRIDGE_HOST=127.0.0.1" in lines


def test_check_config_refuses_what_serve_would(command: Command) -> None:
    assert "DRAWBRIDGE_HOST=0.0.0.0" in command("check-config", host="0.0.0.0").refused()
    assert "DRAWBRIDGE_PORT='x'" in command("check-config", port="x").refused()
    assert "--speed slow" in command("check-config", "--speed", "slow").refused()


@pytest.mark.parametrize("name", ["sdl", "check-config", "token", "migrate"])
def test_only_migrate_and_serve_make_a_data_directory(
    command: Command, name: str, tmp_path: Path
) -> None:
    role = ("--role", "trader") if name == "token" else ()
    command(name, *role, data=str(tmp_path / "data"))

    assert (tmp_path / "data").exists() == (name == "migrate")


def test_the_page_about_http_has_every_bound_with_its_default() -> None:
    page = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
    bounds = [f"max_{name}" for name in Bounds.__dataclass_fields__]

    for name in (*bounds, "operation_deadline_s"):
        assert f"| `DRAWBRIDGE_{name.upper()}` | {getattr(Settings(), name):,} |" in page


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"broker": "alpca"},
            "DRAWBRIDGE_BROKER=alpca: there is no such adapter; there are alpaca",
        ),
        ({"broker_url": "http://127.0.0.1:1"}, "BROKER_URL is set, but the broker is the paper"),
        ({"broker": "alpaca"}, "alpaca needs a mounted folder with the files of its key"),
        ({"broker": "alpaca"}, "DRAWBRIDGE_BROKER_URL is not set: say where alpaca is"),
        ({"broker": "alpaca", "faults": "f"}, "FAULTS is set, but belongs to the paper exchange"),
        ({"broker": "alpaca", "exchange": "h:1"}, "EXCHANGE is set, but belongs to the paper"),
        (
            {"broker": "alpaca", "broker_maintenance": "none"},
            "BROKER_MAINTENANCE is set, but alpaca has no such hours",
        ),
        ({"broker_maintenance": "none"}, "BROKER_MAINTENANCE is set, but the broker is the paper"),
        ({"broker": "alpaca", "quotes": "q.csv"}, "quotes come from alpaca; leave it out"),
    ],
)
def test_what_does_not_fit_the_broker_is_said(variables: dict[str, str], said: str) -> None:
    settings = from_environment(named({name.upper(): text for name, text in variables.items()}))

    with pytest.raises(ConfigError, match=said):
        check(settings)
