"""Sources of quotes: simulated, and replayed from a file."""
