"""Pre-trade risk: limits, checks and the gate that alone approves orders."""
