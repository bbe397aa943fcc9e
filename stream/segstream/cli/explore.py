"""`segstream explore`: the Segment Explorer, over an API or with one of its own."""

from contextlib import AbstractContextManager
from pathlib import Path

import click
from click.core import ParameterSource

from segstream.cli.options import out_option, state_option
from segstream.extras import extra


@click.command()
@state_option
@out_option
@click.option("--api", metavar="URL", help="Look at this API instead of a state directory.")
@click.option("--key", default="", envvar="SEGSTREAM_KEY",
              help="API key for --api; else $SEGSTREAM_KEY. One that operates may also promote "
              "and roll back.")  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True,
              help="Address of the pages. Whoever reaches it may do what the key may.")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65_535), default=0, show_default=True,
              help="0 for a free one.")  # fmt: skip
@click.option("--customer-word", help="What pages call a customer; as in the last report.")
@click.pass_context
def explore(
    context: click.Context, state: Path, out: Path, api: str | None, key: str, host: str, port: int,
    customer_word: str | None,
) -> None:  # fmt: skip
    """Look at segments, customers and models in a browser, and ask what if.

    Opens on an address that it prints, and follows the stream. A state may be in use by a run;
    promote and roll back then have to wait for its end.

    \b
    Examples:
      segstream explore --state state --out out
      segstream explore --api http://127.0.0.1:8000 --key KEY
    """  # noqa: D301 - click reads the backspace as "keep these lines"
    if api and context.get_parameter_source("state") is ParameterSource.COMMANDLINE:
        raise click.UsageError("expected --state or --api, got both")
    with explore_extra():
        from segstream.explorer.launch import Source, free_port, serve_pages
        from segstream.explorer.own_api import own_api
    port = port or free_port(host)
    if api:
        serve_pages(Source(api, key), host, port)
        return
    with own_api(state, out, customer_word) as source:
        serve_pages(source, host, port)


def explore_extra() -> AbstractContextManager[None]:
    """Name the remedy where an import needs a package of the extra `explore`.

    Raises
    ------
    ConfigError
        It is not installed.
    """
    return extra("explore", "of the Explorer")
