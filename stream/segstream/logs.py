"""Logging of the roles: text for people or one JSON object a line; no customer above debug."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

Format = Literal["text", "json"]
FORMATS: Final[tuple[Format, ...]] = ("text", "json")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the error where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Encode one record."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def logging_config(form: Format) -> dict[str, Any] | None:
    """What `logging.config.dictConfig` takes; None leaves text as the libraries write it."""
    if form == "text":
        return None
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "segstream.logs.JsonFormatter"}},
        "handlers": {
            "default": {
                "class": "logging.StreamHandler", "stream": "ext://sys.stderr", "formatter": "json",
            }
        },
        "root": {"level": "WARNING", "handlers": ["default"]},
    }  # fmt: skip


def set_up(form: Format) -> None:
    """Write this process's log in a format."""
    if form == "json":
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter())
        logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def quiet_clients() -> None:
    """Keep the clients' own words out: of a broker that is away they say hundreds of lines.

    The roles say it once.
    """
    for name in ("aiokafka", "kafka"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
