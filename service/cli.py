"""The command `wengert-server`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.blas import environment
from service import __version__

if TYPE_CHECKING:
    from fastapi import FastAPI

    from service.settings import Settings


def application() -> FastAPI:
    """The application as this command serves it; settings come from the environment, in every worker process alike."""
    from service.app import create_app  # a second to import, which --help need not wait for
    from service.lifecycle import process
    from service.protocol import Protocol
    from service.settings import Settings

    settings = Settings()
    Protocol.receive_timeout_s = settings.receive_timeout_s
    app = create_app(settings, lifespan=process)
    Protocol.at_once = app.at_once
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    for name, value in environment().items():  # NumPy reads it when it is imported
        os.environ.setdefault(name, value)
    from pydantic import ValidationError

    from service.settings import Settings  # and with it NumPy

    parser = _parser(Settings)
    options = parser.parse_args(argv)
    if options.command is None:
        parser.print_help()
        return 0
    for name in Settings.model_fields:
        value = getattr(options, name)
        if value is not None:
            os.environ[f"WENGERT_{name.upper()}"] = value
    try:
        settings = Settings()
    except ValidationError as error:
        for one in error.errors(include_url=False, include_context=False):
            name = str(one["loc"][0])
            print(
                f"wengert-server: --{name.replace('_', '-')} (WENGERT_{name.upper()}): {one['msg']}",
                file=sys.stderr,
            )
        return 2
    _serve(settings)
    return 0


def _serve(settings: Settings) -> None:
    import uvicorn

    from service import logs

    uvicorn.run(
        "service.cli:application",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        root_path=settings.root_path,
        http="service.protocol:Protocol",
        ws="none",
        lifespan="on",
        log_config=logs.configuration(settings.log_level),
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.timeout_s) + 5,
    )


def _parser(settings: type[Settings]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wengert-server", description="Automatic differentiation as a service.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"wengert-server {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    serve = commands.add_parser(
        "serve",
        help="run the server",
        description="Run the server. Every option can also be set in the environment, as WENGERT_HOST for --host.",
        allow_abbrev=False,
    )
    for name, field in settings.model_fields.items():
        default: Any = field.get_default(call_default_factory=True)
        shown = ",".join(default) if isinstance(default, tuple) else default
        serve.add_argument(
            f"--{name.replace('_', '-')}",
            metavar="VALUE",
            help=f"{field.description} (default: {shown if shown != '' else 'none'})".replace("%", "%%"),
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
