"""Alpaca: US stocks and coins, over its REST API and its streams."""
