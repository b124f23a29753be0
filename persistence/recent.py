"""Reports that this process has committed a moment ago: who publishes them need not read them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice

from trading.execution import Report
from trading.ids import AccountID

_KEPT_MAX = 4096

type ReportKey = tuple[AccountID, int]


class RecentReports:
    """The newest reports of this process's own commits. A report never changes."""

    def __init__(self, room: int = _KEPT_MAX) -> None:
        """Keep no more than so many."""
        self._room = room
        self._kept: dict[ReportKey, Report] = {}

    def keep(self, reports: Iterable[Report]) -> None:
        """Take reports in that are certainly committed; the oldest make room."""
        self._kept.update(((each.account_id, each.seq), each) for each in reports)
        for key in list(islice(self._kept, max(0, len(self._kept) - self._room))):
            del self._kept[key]

    def find(self, keys: Collection[ReportKey]) -> dict[ReportKey, Report]:
        """Return those that are kept."""
        return {key: self._kept[key] for key in keys if key in self._kept}
