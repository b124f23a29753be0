"""The table of leases: which process does what only one may do at a time."""

import sqlalchemy as sa

from persistence.columns import COUNT, ID, TEXT
from persistence.tables.base import ROOM_TO_CHANGE, column, key, metadata, optional

leases = sa.Table(
    "leases",
    metadata,
    key("name", ID),
    optional("holder", TEXT),
    column("epoch", COUNT),
    column("beat", COUNT),
    postgresql_with=ROOM_TO_CHANGE,
)
