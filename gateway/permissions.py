"""`drawbridge permissions`: who may do what, as the code says it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from resolvers.root import Schema
from schema.definition import AUTHENTICATED
from security.roles import ROLE_PERMISSIONS, Role
from trading.permission import Permission

_ROOTS = ("Query", "Mutation", "Subscription")
_YES, _NO = "yes", "-"


def table() -> str:
    """Write the roles, the operations and the policies of all fields as Markdown."""
    return written(Schema().policies)


def written(policies: Mapping[str, str]) -> str:
    """Write what follows from the policies of fields, and from the roles."""
    return "\n".join(
        [
            "## Roles\n",
            *_permissions(),
            "\n## Operations\n",
            *_operations(policies),
            "\n## Fields\n",
            "| type | its fields ask for |",
            "| --- | --- |",
            *_types(policies),
            "",
        ]
    )


def holds(role: Role, policy: str) -> bool:
    """Tell whether a role, by a token of every scope, meets a policy."""
    return policy == AUTHENTICATED or policy in ROLE_PERMISSIONS[role]


def _permissions() -> Iterator[str]:
    yield f"| permission | {' | '.join(Role)} |"
    yield f"| --- |{' --- |' * len(Role)}"
    for permission in Permission:
        yield f"| `{permission}` | {_cells(permission)} |"


def _operations(policies: Mapping[str, str]) -> Iterator[str]:
    yield f"| operation | asks for | {' | '.join(Role)} |"
    yield f"| --- | --- |{' --- |' * len(Role)}"
    for root in _ROOTS:
        for name in (name for name in sorted(policies) if name.startswith(f"{root}.")):
            yield f"| `{name}` | `{policies[name]}` | {_cells(policies[name])} |"


def _cells(policy: str) -> str:
    return " | ".join(_YES if holds(role, policy) else _NO for role in Role)


def _types(policies: Mapping[str, str]) -> Iterator[str]:
    """Write a line for each type: the policy of most of its fields, and those that differ."""
    types: dict[str, dict[str, list[str]]] = {}
    for named, policy in sorted(policies.items()):
        of, _, name = named.partition(".")
        types.setdefault(of, {}).setdefault(policy, []).append(name)
    for of, by_policy in types.items():
        if of not in _ROOTS:
            usual = max(by_policy, key=lambda policy: len(by_policy[policy]))
            others = (
                f"; `{policy}` for {', '.join(f'`{name}`' for name in names)}"
                for policy, names in by_policy.items()
                if policy != usual
            )
            yield f"| `{of}` | `{usual}`{''.join(others)} |"
