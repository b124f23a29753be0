"""Why a store cannot be opened; StoreUnavailable, for one that stops answering, is the core's."""


class StoreRefused(Exception):
    """The store must not be opened as asked; the message says why, and what to do about it."""
