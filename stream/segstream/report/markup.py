"""Small pieces of a page; every text goes through `text`."""

import base64
from collections.abc import Iterable, Sequence
from html import escape

import plotly.graph_objects as go


def text(value: object) -> str:
    """Escape anything for an element or an attribute.

    >>> text('<b a="1">')
    '&lt;b a=&quot;1&quot;&gt;'
    """
    return escape(str(value), quote=True)


def tile(number: str, caption: str) -> str:
    """One figure with what it means."""
    return f'<div class="tile"><b>{text(number)}</b><span>{text(caption)}</span></div>'


def tiles(pairs: Iterable[tuple[str, str]]) -> str:
    """Figures side by side."""
    return '<div class="tiles">' + "".join(tile(n, c) for n, c in pairs) + "</div>"


def dot(colour: str, name: str) -> str:
    """Segment name behind its colour."""
    return f'<span class="dot" style="--colour: {text(colour)}"></span>{text(name)}'


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    numbers: Sequence[int] = (),
    style: str = "",
) -> str:
    """Table of cells that are HTML already.

    Parameters
    ----------
    numbers
        Columns that stand to the right.
    style
        `stack` breaks rows up on a phone; `tall` scrolls.
    """

    def kind(j: int) -> str:
        return ' class="n"' if j in numbers else ""

    top = "".join(f"<th{kind(j)}>{text(h)}</th>" for j, h in enumerate(head))
    body = "".join(
        "<tr>"
        + "".join(
            f'<td{kind(j)} data-label="{text(head[j])}">{cell}</td>' for j, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll {text(style)}"><table><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def section(title: str, lead: str, *parts: str, style: str = "") -> str:
    """Titled part of the page; `lead` is plain text."""
    intro = f'<p class="lead">{text(lead)}</p>' if lead else ""
    kind = f' class="{text(style)}"' if style else ""
    return f"<section{kind}><h2>{text(title)}</h2>{intro}{''.join(parts)}</section>"


def whole(value: object) -> str:
    """Text that is not broken over lines."""
    return f'<span class="whole">{text(value)}</span>'


def note(words: str) -> str:
    """Small print."""
    return f'<p class="note">{text(words)}</p>'


def figure(name: str, fig: go.Figure, style: str = "") -> str:
    """Place for a figure, and the figure as JSON that no name in it can break out of."""
    content = str(fig.to_json()).replace("<", "\\u003c").replace(">", "\\u003e")
    place = f'<div class="figure {text(style)}" data-figure="figure-{text(name)}"></div>'
    return f'{place}<script type="application/json" id="figure-{text(name)}">{content}</script>'


def csv_link(content: str, name: str, label: str) -> str:
    """Button that saves a file which the page itself carries."""
    packed = base64.b64encode(content.encode("utf-8", "surrogatepass")).decode()
    return (
        f'<a class="button" download="{text(name)}" '
        f'href="data:text/csv;charset=utf-8;base64,{packed}">{text(label)}</a>'
    )
