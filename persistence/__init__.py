"""The store: tables, statements and migrations."""
