"""Alpaca's wire over the paper exchange: what clients of Alpaca meet, on this machine."""
