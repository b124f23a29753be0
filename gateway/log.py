"""Logs: one line of JSON for each record, on standard error, with nothing secret in it."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType

from security.redaction import redact


class JsonLines(logging.Formatter):
    """Writes a record as one JSON object, its exception in it, so that no line stands alone."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(_each_redacted(line), ensure_ascii=False)


def configure(level: str) -> None:
    """Send all logs to standard error; uvicorn's access log is left out, being of no use here."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    sys.excepthook = _excepthook
    logging.getLogger("uvicorn.access").disabled = True
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it has a line for each request
    # These log an error at each of their own tries; events.rabbitmq says once what that means.
    for name in ("aiormq", "aio_pika"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _each_redacted(line: dict[str, str]) -> dict[str, str]:
    return {name: redact(text) for name, text in line.items()}


def _excepthook(
    kind: type[BaseException], error: BaseException, where: TracebackType | None
) -> None:
    """Write what ends the process as Python would, but redacted: it may quote a broker's answer."""
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, where))))
