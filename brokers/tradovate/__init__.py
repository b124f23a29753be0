"""Tradovate: futures over REST, a socket of entities, and tokens that are renewed."""
