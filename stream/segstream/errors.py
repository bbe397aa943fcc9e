"""Every error a user can meet, and whose fault it is.

::

    SegstreamError                 exit code
    ├── ConfigError                3   settings, feature spec, mapping or playbook
    ├── SourceError                4   input missing, truncated, vanished
    ├── StateError                 5   stored state does not fit what was asked
    │   └── FencedError            5   another process owns this state now
    ├── TooManyDeadLettersError    6   the feed is broken: stop before more is lost to view
    └── OutputError                7   results cannot be written
    BadEventError                  -   one event: it becomes a dead letter, the stream goes on

Anything else that escapes is a bug in Segstream: it stops, commits nothing, exit code 1.
"""


class SegstreamError(Exception):
    """A failure with a remedy: what was expected, what came, where, how to mend it."""

    exit_code = 1


class ConfigError(SegstreamError):
    """A setting, feature spec, mapping or playbook is not usable as written."""

    exit_code = 3


class SourceError(SegstreamError):
    """The input cannot be read as it should."""

    exit_code = 4


class StateError(SegstreamError):
    """The stored state does not fit the code, the spec or the input."""

    exit_code = 5


class FencedError(StateError):
    """Another process has claimed this state since; what this one held is dropped."""


class TooManyDeadLettersError(SegstreamError):
    """The share of dead letters crossed its limit; the batch that crossed it is not committed."""

    exit_code = 6


class OutputError(SegstreamError):
    """A result could not be written; nothing of its batch counts as done."""

    exit_code = 7


class BadEventError(Exception):
    """One event that breaks the contract.

    Parameters
    ----------
    code
        One of `segstream.core.events.DEAD_LETTER_CODES`.
    message
        What was expected and what came.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
