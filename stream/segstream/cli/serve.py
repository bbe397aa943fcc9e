"""`segstream serve`: the HTTP API."""

import logging
import os
import socket
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.core import ParameterSource

from segstream.cli.options import config_option, out_option, state_option
from segstream.cli.roles import role_settings
from segstream.collector import keep_what_is_loaded, look_less_often
from segstream.errors import ConfigError
from segstream.extras import extra
from segstream.kafka_settings import kafka_extra
from segstream.logs import FORMATS, Format, set_up
from segstream.settings import Settings
from segstream.stored_state import stored_settings

if TYPE_CHECKING:
    from segstream.api.guard import App
    from segstream.api.keys import Keys

_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_KEYS: Final = click.option(
    "--keys", "keys_path", type=click.Path(path_type=Path, dir_okay=False),
    default=Path("segstream-keys.jsonl"), show_default=True, envvar="SEGSTREAM_KEYS",
    help="File of hashed API keys; else $SEGSTREAM_KEYS.",
)  # fmt: skip


@click.group(invoke_without_command=True)
@state_option
@out_option
@click.option("--host", default="127.0.0.1", show_default=True,
              help="Address to listen on; another than loopback needs keys.")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65_535), default=8000, show_default=True,
              help="0 for a free one.")  # fmt: skip
@_KEYS
@click.option("--bootstrap", metavar="HOST:PORT",
              help="Brokers, for a namespace on Kafka; else $SEGSTREAM_KAFKA.")  # fmt: skip
@click.option("--redis", envvar="SEGSTREAM_REDIS", default="redis://127.0.0.1:6379",
              show_default=True, metavar="URL", help="For a namespace on Kafka.")  # fmt: skip
@click.option("--namespace", help="Of topics and keys; else as in --config.")
@config_option
@click.option("--customer-word", help="What answers call a customer; as in the last report.")
@click.option("--log-format", type=click.Choice(FORMATS), default="text", show_default=True,
              help="Log lines for people, or one JSON object each.")  # fmt: skip
@click.pass_context
def serve(
    context: click.Context, state: Path, out: Path, host: str, port: int, keys_path: Path,
    customer_word: str | None, log_format: Format, bootstrap: str | None, redis: str,
    namespace: str | None, config: Path | None,
) -> None:  # fmt: skip
    """Answer over HTTP: customers, segments, what if, models, changes.

    Of a state directory; with --config, --namespace or --bootstrap of what workers keep in Redis
    and publish on Kafka. Without a file of keys whoever is on this machine may read, and nobody
    may operate.

    \b
    Examples:
      segstream serve --state state --out out
      segstream serve --config shop.toml --redis redis://redis:6379 --host 0.0.0.0
      segstream serve keys add --role operate --name me
      curl localhost:8000/segments
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    if context.invoked_subcommand:
        return
    keys = checked_keys(keys_path, host)
    set_up(log_format)
    address = Address(host, port, log_format)
    if bootstrap or namespace or config:
        if context.get_parameter_source("state") is ParameterSource.COMMANDLINE:
            raise click.UsageError("expected --state, or --namespace and the like, got both")
        bootstrap = bootstrap or os.environ.get("SEGSTREAM_KAFKA")
        settings = role_settings(config, bootstrap, namespace)
        listen(live_app(settings, redis, customer_word, keys), address)
    else:
        listen(state_app(state, out, customer_word, keys), address)


def state_app(state: Path, out: Path, customer_word: str | None, keys: "Keys") -> "App":
    """The API of a state directory.

    Raises
    ------
    StateError
        There is none.
    """
    with serve_extra():
        from segstream.api.app import create_app
        from segstream.api.desks import StateDesk
        from segstream.api.embedded import StateReader

    stored_settings(state)  # refused before anything listens
    return create_app(StateReader(state, out, customer_word), StateDesk(state, out), keys)


def live_app(settings: Settings, redis: str, customer_word: str | None, keys: "Keys") -> "App":
    """The API of a namespace on Kafka and Redis."""
    with serve_extra(), kafka_extra():
        from segstream.api.app import create_app
        from segstream.api.live import LiveDesk, LiveReader

    reader, desk = LiveReader(settings, redis, customer_word), LiveDesk(settings, redis)
    # Of a broker that is away it says hundreds of lines a second; ours say it once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    return create_app(reader, desk, keys)


def serve_extra() -> AbstractContextManager[None]:
    """Name the remedy where an import needs a package of the extra `serve`.

    Raises
    ------
    ConfigError
        It is not installed.
    """
    return extra("serve", "of the API")


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen, and how to log."""

    host: str
    port: int
    log_format: Format


def checked_keys(path: Path, host: str) -> "Keys":
    """Read the keys; none may only be there on loopback.

    Raises
    ------
    ConfigError
    """
    with serve_extra():
        from segstream.api.keys import KeyFile, Keys
    known = KeyFile(path).read()
    if known is None and host not in _LOOPBACK:
        raise ConfigError(
            f"--host: expected a file of keys at {path} before anything but this machine is "
            f"listened to, got {host} and none; make one: segstream serve keys add --keys {path}"
        )
    return Keys(known)


def listen(app: "App", address: Address) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises
    ------
    ConfigError
        The port is taken.
    """
    from segstream.api.serving import server

    host, port = address.host, address.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"--port: expected a free port on {host}, got {port} ({error.strerror}); give another"
        ) from error
    port = listening.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    click.echo(f"listening on http://{shown}:{port}; the document is at /openapi.json", err=True)
    keep_what_is_loaded()
    look_less_often()
    with listening:
        server(app, host, port, address.log_format).run([listening])


@serve.group()
def keys() -> None:
    """Make, list and remove API keys; the file holds their hashes."""


_NAME: Final = click.option("--name", required=True, help="Who or what has the key.")


@keys.command()
@click.option("--role", type=click.Choice(["read", "operate"]), required=True,
              help="Operate may also promote, roll back, re-cluster and erase.")  # fmt: skip
@_NAME
@_KEYS
def add(role: str, name: str, keys_path: Path) -> None:
    """Make a key and print it, once.

    \b
    Example:
      segstream serve keys add --role read --name dashboard
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    with serve_extra():
        from segstream.api.keys import ROLES, KeyFile
    chosen = next(one for one in ROLES if one == role)
    click.echo(KeyFile(keys_path).add(name, chosen))
    click.echo(f"Kept in {keys_path} as a hash: note the key, it is not shown again. A server that "
               "runs already knows it after a restart.", err=True)  # fmt: skip


@keys.command("list")
@_KEYS
def list_(keys_path: Path) -> None:
    """Show who has a key, and which role.

    \b
    Example:
      segstream serve keys list
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    with serve_extra():
        from segstream.api.keys import KeyFile
    for key in KeyFile(keys_path).read() or []:
        click.echo(f"{key.role}\t{key.name}")


@keys.command()
@_NAME
@_KEYS
def remove(name: str, keys_path: Path) -> None:
    """Forget a key.

    \b
    Example:
      segstream serve keys remove --name dashboard
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    with serve_extra():
        from segstream.api.keys import KeyFile
    KeyFile(keys_path).remove(name)
