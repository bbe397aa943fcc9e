"""An answer of the API in words, with the report's own words for money and people."""

from segstream.explorer.client import Answer
from segstream.report.wording import REASONS
from segstream.report.words import Words

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400


def words_of(found: Answer) -> Words:
    """Return the words for an answer of /segments or /overview."""
    return Words(found["customer_word"], found["currency"])


def reason_words(reason: str) -> str:
    """Say why a change came.

    >>> reason_words("time")
    'by silence'
    """
    return REASONS.get(reason, reason)


def ago(seconds: float | None) -> str:
    """Write a duration as people say it.

    >>> ago(30), ago(7200), ago(86_400 * 3), ago(None)
    ('under a minute', '2 hours', '3 days', 'never')
    """
    if seconds is None:
        return "never"
    for size, word in ((_DAY_S, "day"), (_HOUR_S, "hour"), (_MINUTE_S, "minute")):
        if seconds >= size:
            n = int(seconds // size)
            return f"{n:,} {word}{'' if n == 1 else 's'}"
    return "under a minute"


def names_and_colours(*answers: Answer) -> tuple[dict[int, str], dict[int, str]]:
    """Collect names and colours by segment id; of retired segments too where an answer has them.

    Parameters
    ----------
    answers
        Of /overview (`names`, `colours`) and /segments (`segments`); later ones win.
    """
    names: dict[int, str] = {}
    colours: dict[int, str] = {}
    for answer in answers:
        names |= {int(i): name for i, name in answer.get("names", {}).items()}
        colours |= {int(i): colour for i, colour in answer.get("colours", {}).items()}
        for segment in answer.get("segments", ()):
            names[segment["id"]] = segment["name"]
            colours[segment["id"]] = segment["colour"]
    return names, colours
