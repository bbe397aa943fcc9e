"""Serve the pages from this process, on an address that is printed, with nothing that calls out."""

import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
from streamlit.web import bootstrap

from segstream.errors import ConfigError

LOOPBACK: Final = "127.0.0.1"
_APP: Final = Path(__file__).with_name("app.py")
_UP_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Source:
    """Where the pages ask; the key is not shown."""

    url: str
    key: str = field(default="", repr=False)


def free_port(host: str = LOOPBACK) -> int:
    """Return a port that nothing listens on.

    Raises
    ------
    ConfigError
        The address is not one of this machine.
    """
    try:
        with socket.create_server((host, 0)) as probe:
            return int(probe.getsockname()[1])
    except OSError as error:
        raise ConfigError(
            f"--host: expected an address of this machine, got {host} ({error.strerror})"
        ) from error


def options(host: str, port: int) -> dict[str, Any]:
    """Streamlit's settings: no telemetry, no deploy button, no e-mail question, no watching."""
    return {
        "server_address": host,
        "server_port": port,
        "server_headless": True,
        "server_showEmailPrompt": False,
        "server_fileWatcherType": "none",
        "browser_gatherUsageStats": False,
        "browser_serverAddress": host,
        "client_toolbarMode": "minimal",
        "client_showErrorDetails": "none",
        "theme_base": "light",
        "theme_primaryColor": "#0B3C5D",
        "theme_textColor": "#1F2933",
        "logger_level": "warning",
        "logger_hideWelcomeMessage": True,
    }


def serve_pages(source: Source, host: str, port: int) -> None:
    """Serve the Explorer until a signal stops it.

    Raises
    ------
    ConfigError
        The port is taken.
    """
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        raise ConfigError(
            f"--port: expected a free port on {host}, got {port} ({error.strerror}); give another"
        ) from error
    settings = options(host, port)
    bootstrap.load_config_options(settings)
    threading.Thread(target=_announce, args=(host, port), daemon=True).start()
    # In this process: a key among the arguments of another one could be read by its neighbours.
    bootstrap.run(str(_APP), is_hello=False, args=[source.url, source.key], flag_options=settings)


def _announce(host: str, port: int) -> None:
    """Print the address once something listens there."""
    until = time.monotonic() + _UP_S
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection((host, port), timeout=1.0):
            shown = f"[{host}]" if ":" in host else host
            click.echo(f"Segment Explorer: http://{shown}:{port} (Ctrl-C stops it)")
            return
        time.sleep(0.1)
