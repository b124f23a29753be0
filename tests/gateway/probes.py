"""Twelve well-known probes of GraphQL servers: each tells whether it has found something."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx2
from graphql import get_introspection_query

type Probe = Callable[[httpx2.Client], bool]
PATH = "/graphql"


def _post(client: httpx2.Client, query: str) -> Any:
    answer = client.post(PATH, json={"query": query})
    return _json(answer)


def _json(answer: httpx2.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return {}


def _data(told: Any) -> Any:
    return (told.get("data") if isinstance(told, dict) else None) or {}


def _errors(told: Any) -> list[Any]:
    return told.get("errors", []) if isinstance(told, dict) else []


def alias_overload(client: httpx2.Client) -> bool:
    query = " ".join(f"alias{number}: __typename" for number in range(101))
    return "alias100" in _data(_post(client, f"query {{ {query} }}"))


def field_duplication(client: httpx2.Client) -> bool:
    return bool(_data(_post(client, f"query {{ {'__typename ' * 1_000} }}")))


def batch(client: httpx2.Client) -> bool:
    told = _json(client.post(PATH, json=[{"query": "query { __typename }"}] * 10))
    return isinstance(told, list) and len(told) == 10


def directive_overload(client: httpx2.Client) -> bool:
    return len(_errors(_post(client, f"query {{ __typename {'@aa' * 10} }}"))) == 10


def circular_fragments(client: httpx2.Client) -> bool:
    """Look whether types may be walked in a circle, and whether fragments are."""
    walk = "__schema { types { fields { type { fields { name } } } } }"
    spread = "query { ...A } fragment A on Query { ...B } fragment B on Query { ...A }"
    answer = client.post(PATH, json={"query": spread})
    return bool(_data(_post(client, f"query {{ {walk} }}"))) or answer.status_code >= 500


def introspection(client: httpx2.Client) -> bool:
    return "__schema" in _data(_post(client, get_introspection_query()))


def suggestions(client: httpx2.Client) -> bool:
    told = _post(client, "query { viewr { userId } __shema { name } }")
    return any("Did you mean" in str(error.get("message")) for error in _errors(told))


def get_query(client: httpx2.Client) -> bool:
    answer = client.get(PATH, params={"query": "query { __typename }"})
    return bool(_data(_json(answer)))


def get_mutation(client: httpx2.Client) -> bool:
    answer = client.get(PATH, params={"query": "mutation { __typename }"})
    return bool(_data(_json(answer)))


def form(client: httpx2.Client) -> bool:
    """Look whether another site's page could send a query by a form."""
    as_form = client.post(PATH, data={"query": "query { __typename }"})
    as_text = client.post(
        PATH, content=b'{"query": "query { __typename }"}', headers={"content-type": "text/plain"}
    )
    return bool(_data(_json(as_form)) or _data(_json(as_text)))


def tracing(client: httpx2.Client) -> bool:
    told = _post(client, "query { __typename }")
    extensions = told.get("extensions", {}) if isinstance(told, dict) else {}
    broken = _errors(_post(client, "query { __typename(") or {})
    within = [error.get("extensions") or {} for error in broken]
    return "tracing" in extensions or any("exception" in each for each in within)


def ide(client: httpx2.Client) -> bool:
    paths = (PATH, "/", "/graphiql", "/playground", "/console", "/altair")
    answers = [client.get(path, headers={"accept": "text/html"}) for path in paths]
    words = ("graphiql", "playground", "altair")
    return any(word in answer.text.lower() for answer in answers for word in words)


PROBES: Mapping[str, Probe] = {
    probe.__name__: probe
    for probe in (
        alias_overload,
        field_duplication,
        batch,
        directive_overload,
        circular_fragments,
        introspection,
        suggestions,
        get_query,
        get_mutation,
        form,
        tracing,
        ide,
    )
}
