"""Pre-trade risk: limits, checks and the gate that alone approves orders."""

# In this order controls are evaluated, whoever is imported first: the first refusal gives an order
# its reason.
from risk import checks, market, exposure, conduct  # noqa: I001

__all__ = ["checks", "conduct", "exposure", "market"]
