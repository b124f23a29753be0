"""The paper exchange: a deterministic matching engine with its own journal, behind an adapter."""
