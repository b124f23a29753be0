"""Where a caller is: by its connection, and by the word of proxies that are trusted alone."""

from ipaddress import ip_network

import pytest

from serving.caller import address

PROXIES = (ip_network("10.0.0.0/24"), ip_network("::1"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.9"], "192.0.2.1"),
        ("10.0.0.5", ["198.51.100.9"], "198.51.100.9"),
        ("::1", ["203.0.113.1, 198.51.100.9, 10.0.0.7"], "198.51.100.9"),
        ("10.0.0.5", ["10.0.0.6", "198.51.100.9"], "198.51.100.9"),
        ("10.0.0.5", [], "10.0.0.5"),
        ("10.0.0.5", ["10.0.0.6"], "10.0.0.6"),
        ("10.0.0.5", ["a script, or worse"], "10.0.0.5"),
        ("10.0.0.5", [""], "10.0.0.5"),
    ],
)
def test_a_proxy_is_believed_as_far_as_it_is_trusted(
    peer: str, forwarded: list[str], found: str
) -> None:
    headers = [(b"x-forwarded-for", each.encode()) for each in forwarded]
    scope = {"client": (peer, 4711), "headers": headers}

    assert address(scope, PROXIES) == found
    assert address(scope, ()) == peer


def test_a_connection_without_an_address_has_none() -> None:
    assert address({"client": None, "headers": []}, PROXIES) == ""
