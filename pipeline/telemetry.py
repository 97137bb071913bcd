"""Logs: events with stable names and typed fields, on standard error. No customer text, no secret: ids and counts."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog
from structlog.typing import FilteringBoundLogger

from pipeline.domain.visible import on_one_line

MASK = "***"
# Up to the last @: a password that should have been escaped is one all the same.
_SECRET_IN_URL = re.compile(r"(?<=://)([^/@\s:]*):(\S+)(?=@)")
_SECRET_IN_QUERY = re.compile(r"([?&](?:ssl)?(?:password|api[-_]?key|token)=)[^&\s]+", re.IGNORECASE)
_SECRET_FIELDS = re.compile(r"(^|_)(password|secret|token|api_key|authorization)$", re.IGNORECASE)
_TEXT_FIELDS = frozenset({"text", "texts", "body", "answer", "prompt", "content", "value"})


def mask_urls(text: str) -> str:
    """Hide the password of every URL in a text."""
    return _SECRET_IN_QUERY.sub(rf"\1{MASK}", _SECRET_IN_URL.sub(rf"\1:{MASK}", text))


def redact(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask secrets, and fields that could hold customer text, whoever logged them."""
    for name, value in event.items():
        if _SECRET_FIELDS.search(name) or name in _TEXT_FIELDS:
            event[name] = MASK
        elif isinstance(value, str):
            event[name] = mask_urls(value)
    return event


def one_line(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Write out line ends and escape sequences for a console, as JSON does: what is quoted can forge no event."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = on_one_line(value)
    return event


def configure(*, level: str, style: str, stream: TextIO | None = None) -> None:
    """Set up structlog, and send the standard library's warnings (Celery, SQLAlchemy …) through it."""
    out = stream or sys.stderr
    as_json = style == "json" or (style == "auto" and not out.isatty())
    renderer: Any = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=out.isatty())
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
        *(() if as_json else (one_line,)),
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)


def logger() -> FilteringBoundLogger:
    """Return the logger; it is bound at each use, so that `configure` may come later."""
    bound: FilteringBoundLogger = structlog.get_logger()
    return bound
