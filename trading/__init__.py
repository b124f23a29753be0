"""The core: orders, fills, accounts and the desk, in the standard library alone."""
