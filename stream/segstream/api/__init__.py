"""The HTTP API: `segstream serve`, over a state directory or over Kafka and Redis.

The path of an answer:

    guard ► app (routes) ► reader ► look, board, tail ► answers ► bytes

A `Reader` gives three things: a *look* at one customer as the store has it now, a *board* of all
customers as of a moment, and the *tail* of published changes. `looks` and `board` turn them into
the structs of `answers`, the same for both readers.
"""

from segstream.api.app import create_app

__all__ = ["create_app"]
