"""Adapters to brokers, blind to one another."""
