"""Writing a report's files."""

import json
from pathlib import Path
from typing import Any, Final

from segstream.core.spec import Feature
from segstream.errors import OutputError
from segstream.report.facts import Facts, gather, to_json
from segstream.report.page import page
from segstream.view import View

REPORT: Final = "report.html"
SEGMENTS: Final = "segments.json"
CUSTOMERS: Final = "customers.csv"
LEAVERS: Final = "left-best-segment.csv"


def write_report(view: View, out: Path, customer_word: str = "customer") -> dict[str, Any]:
    """Write report.html, segments.json, customers.csv and left-best-segment.csv.

    Parameters
    ----------
    out
        Directory, made where absent.
    customer_word
        Singular, lower case: what readers call a customer.

    Returns
    -------
    dict
        The summary, plain JSON values.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    facts = gather(view, customer_word)
    summary = to_json(facts.summary)
    files = {
        REPORT: page(facts),
        SEGMENTS: json.dumps(segments_json(facts), indent=2, ensure_ascii=False) + "\n",
        CUSTOMERS: view.customers.drop(columns="slot").to_csv(index=False),
        LEAVERS: facts.tables.leavers.to_csv(index=False),
    }
    for name, content in files.items():
        _write(out / name, content)
    return summary


def segments_json(facts: Facts) -> dict[str, Any]:
    """Segments with names, colours, actions, averages and shares, and the model they are of."""
    summary = to_json(facts.summary)
    model = summary["model"] or {}
    return {
        "namespace": summary["namespace"],
        "as_of": summary["clock"],
        "model": model.get("version"),
        "currency": summary["currency"],
        "features": [_feature(f) for f in facts.tables.features],
        "segments": summary["segments"],
    }


def _feature(feature: Feature) -> dict[str, str]:
    return {
        "name": feature.name,
        "label": feature.label or "",
        "unit": feature.unit,
        "use": feature.use,
    }


def _write(path: Path, content: str) -> None:
    """Replace a file whole; what UTF-8 cannot carry becomes a question mark."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content.encode("utf-8", "replace"))
        part.replace(path)
    except OSError as error:
        raise OutputError(
            f"out: expected to write {path}, got {error}; make room or choose another --out"
        ) from error
