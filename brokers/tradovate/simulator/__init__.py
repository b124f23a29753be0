"""Tradovate's wire over the paper exchange, for tests and for a gateway without an account."""
