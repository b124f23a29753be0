"""News of what was recorded, carried between and within processes."""
