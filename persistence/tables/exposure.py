"""The table of checkpoints: where the monitors got to in folding an account's fills."""

import sqlalchemy as sa

from persistence.columns import COUNT, ID, TEXT
from persistence.tables.base import ROOM_TO_CHANGE, column, key, metadata

exposure_checkpoints = sa.Table(
    "exposure_checkpoints",
    metadata,
    key("account_id", ID, sa.ForeignKey("accounts.id")),
    column("seq", COUNT),
    column("net_qty", TEXT),
    column("epoch", COUNT),
    postgresql_with=ROOM_TO_CHANGE,
)
