"""The tables of registered documents: what clients may ask for by its hash, and nothing else."""

import sqlalchemy as sa

from persistence.columns import COUNT, FLAG, ID, INSTANT, TEXT
from persistence.tables.base import column, key, metadata, optional

documents = sa.Table(
    "documents",
    metadata,
    key("client_id", ID),
    key("sha256", ID),
    column("name", TEXT),
    column("text", TEXT),
    column("scopes", TEXT),
    column("version", TEXT),
    column("rows", COUNT),
    column("published_at", INSTANT),
    optional("expires_at", INSTANT),
    optional("retired_at", INSTANT),
)

document_clients = sa.Table(
    "document_clients",
    metadata,
    key("client_id", ID),
    column("is_bound", FLAG),
)
