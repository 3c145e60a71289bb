"""Logs as one JSON object a line, on standard error."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, TextIO

import orjson

_FIELDS = ("request_id", "method", "path", "status", "ms", "client")


class JsonFormatter(logging.Formatter):
    """Time (UTC), level, logger, message, and what the service adds about a request."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        shown: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in _FIELDS:
            value = getattr(record, name, None)
            if value is not None:
                shown[name] = value
        if record.exc_info:
            shown["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(shown, default=str).decode()


class LineHandler(logging.StreamHandler[TextIO]):
    """A stream handler that also takes finished lines, and writes those of one turn of the event loop together."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        self.waiting: list[bytes] = []

    def add(self, line: bytes) -> None:
        """Write a line before the event loop waits again."""
        self.waiting.append(line)
        if len(self.waiting) == 1:
            asyncio.get_running_loop().call_soon(self.write_waiting)

    def write_waiting(self) -> None:
        """Write the lines that wait."""
        self.acquire()
        try:
            if self.waiting:
                lines, self.waiting = self.waiting, []
                self.stream.write(b"".join(lines).decode())
                self.stream.flush()
        except (OSError, ValueError):
            pass  # the log is full or closed, which is no reason to fail the requests that it speaks of
        finally:
            self.release()

    def emit(self, record: logging.LogRecord) -> None:
        """A record, behind the lines that came before it."""
        self.write_waiting()
        super().emit(record)

    def flush(self) -> None:
        """At the end of the process."""
        self.write_waiting()
        super().flush()


class AccessLog:
    """One line for each request.

    It is written past `logging`, whose records cost as much as a small gradient does, where the logger
    "wengert.access" ends in our own handler and nothing else; through it otherwise."""

    def __init__(self) -> None:
        self.logger = logging.getLogger("wengert.access")
        self.handler: LineHandler | None = None
        self.second = -1
        self.prefix = b""

    def write(
        self, request_id: str, method: str, path: str, status: int, seconds: float, client: str
    ) -> None:
        """Take note of a request that has ended."""
        if not self.logger.isEnabledFor(logging.INFO):
            return
        now = self._now()
        fields = {
            "request_id": request_id,
            "method": method,
            "path": path,
            "status": status,
            "ms": int(seconds * 1e6) / 1e3,
            "client": client,
        }
        if self.handler is None:
            self.logger.info("request", extra=fields)
            return
        shown = orjson.dumps(fields, default=str)
        self.handler.add(
            b'%b%03dZ","level":"info","logger":"wengert.access","message":"request",%b\n'
            % (self.prefix, int((now - self.second) * 1000), shown[1:])
        )

    @staticmethod
    def around(method: str, path: str, status: int, client: str) -> tuple[bytes, bytes]:
        """What stands before and behind the milliseconds in the lines of requests that are alike (`write_around`)."""
        before = orjson.dumps({"method": method, "path": path, "status": status})
        return before[1:-1] + b',"ms":', b',"client":%b}\n' % orjson.dumps(client)

    def write_around(self, request_id: bytes, alike: tuple[str, bytes, bytes], seconds: float) -> None:
        """As `write`, of a request with status 200 and method POST for which all else was made before: path, `around`."""
        if not self.logger.isEnabledFor(logging.INFO):
            return
        now = self._now()
        path, before, behind = alike
        if self.handler is None:
            client = orjson.loads(behind[10:-2])
            self.write(request_id.decode(), "POST", path, 200, seconds, client)
            return
        self.handler.add(
            b'%b%03dZ","level":"info","logger":"wengert.access","message":"request","request_id":"%b",%b%a%b'
            % (
                self.prefix,
                int((now - self.second) * 1000),
                request_id,
                before,
                int(seconds * 1e6) / 1e3,
                behind,
            )
        )

    def _now(self) -> float:
        """The time. Makes what is the same for all lines of a second."""
        now = time.time()
        second = int(now)
        if second != self.second:
            self.second = second
            self.handler = self._only_handler()
            self.prefix = time.strftime('{"time":"%Y-%m-%dT%H:%M:%S.', time.gmtime(now)).encode()
        return now

    def _only_handler(self) -> LineHandler | None:
        """The handler in which this logger's records end, if that is one of ours alone."""
        handlers: list[logging.Handler] = []
        logger: logging.Logger | None = self.logger
        while logger is not None:
            if logger.filters:
                return None
            handlers += logger.handlers
            logger = logger.parent if logger.propagate else None
        if len(handlers) != 1:
            return None
        (handler,) = handlers
        if not isinstance(handler, LineHandler) or handler.level > logging.INFO or handler.filters:
            return None
        return handler


def configuration(level: str) -> dict[str, Any]:
    """For `logging.config.dictConfig`; uvicorn's loggers are part of it, its own access log is off."""
    plain = {"level": level.upper(), "handlers": ["stderr"], "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "service.logs.JsonFormatter"}},
        "handlers": {
            "stderr": {"class": "service.logs.LineHandler", "formatter": "json", "stream": "ext://sys.stderr"}
        },
        "loggers": {
            "wengert": plain,
            "uvicorn": plain,
            "uvicorn.error": {"level": level.upper()},
            "uvicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
        },
    }
