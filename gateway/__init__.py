"""The process: command line, settings, wiring and the real clock."""
