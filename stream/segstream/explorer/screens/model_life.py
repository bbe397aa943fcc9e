"""Where a model comes from and whether it still fits: the Model page's lower half."""

import streamlit as st

from segstream.explorer.client import Answer
from segstream.explorer.look import chart, heading, html, paragraph
from segstream.report.drift_figures import distance_figure, psi_figure
from segstream.report.markup import dot, table, text
from segstream.report.palette import UNASSIGNED
from segstream.report.words import percent


def life_part(models: Answer, found: Answer, now: Answer) -> None:
    """Generations, where the segments come from, and what was refused."""
    heading("Generations", "A generation is one fit; revisions are the daily steps of its centres.")
    rows = [_generation(row, now["model"]) for row in models["models"] if row["version"]]
    html(table(("version", "from", "why", "segments", "silhouette", "gain", "moved"), rows[::-1],
               numbers=(3, 4, 5, 6), style="stack"))  # fmt: skip
    _lineage(found, now)
    _refused(models, found)


def _generation(row: Answer, living: str) -> tuple[str, ...]:
    last = row["last"]
    version = row["version"] if last in ("", row["version"]) else f"{row['version']} to {last}"
    why = (
        f"{row['reason']}: {row['trigger']}"
        if row["trigger"] not in ("", row["reason"])
        else row["reason"]
    )
    serves = ' <span class="tag">serves</span>' if living in (row["version"], last) else ""
    return (
        f"{text(version)}{serves}", text(row["from_day"]), text(why),
        "-" if row["segments"] is None else str(row["segments"]),
        "-" if row["silhouette"] is None else f"{row['silhouette']:.2f}",
        _share(row["gain"]), _share(row["moved"]),
    )  # fmt: skip


def _share(value: float | None) -> str:
    return "-" if value is None else text(percent(value))


def _lineage(found: Answer, now: Answer) -> None:
    heading("Lineage", "What each segment of this generation was in the one before.")
    colours = {s["id"]: s["colour"] for s in now["segments"]}
    rows = [
        (str(s["id"]), dot(colours.get(s["id"], UNASSIGNED), s["name"]), text(s["lineage"]),
         text(percent(s["share"])))
        for s in found["segments"]
    ]  # fmt: skip
    gone = [
        (str(s["id"]), dot(UNASSIGNED, s["name"]), text(s["lineage"]), "-")
        for s in found["retired"]
        if s["now"]
    ]
    html(table(("id", "segment", "where it comes from", "share"), [*rows, *gone], numbers=(3,)))


def _refused(models: Answer, found: Answer) -> None:
    heading("Refused candidates", "Fits that the gate kept from serving, and why.")
    refused = [row for row in models["models"] if row["reason"] == "refused"]
    rows = [
        (text(r["from_day"]), text(r["trigger"]), _share(r["gain"]), _share(r["moved"]),
         text(r["objection"]))
        for r in refused
    ]  # fmt: skip
    if rows:
        html(table(("checked", "called by", "gain", "would move", "why not"), rows[::-1],
                   numbers=(2, 3), style="stack"))  # fmt: skip
    else:
        paragraph("None: no candidate was refused so far.")
    _checks(found)


def _checks(found: Answer) -> None:
    if not found["decisions"]:
        return
    with st.expander(f"All {len(found['decisions'])} checks"):
        rows = [
            (text(d["date"]), text(d["trigger"]), _outcome(d), _share(max(0.0, d["gain_warm"])),
             _share(max(0.0, d["gain_fresh"])), _share(d["moved"]))
            for d in found["decisions"]
        ]  # fmt: skip
        html(table(("day", "called by", "decision", "gain, refitted", "gain, new starts",
                    "would move"), rows[::-1], numbers=(3, 4, 5), style="stack"))  # fmt: skip


def _outcome(decision: Answer) -> str:
    if decision["version"]:
        return text(f"serves as {decision['version']}")
    return text(decision["objection"] or "waited for its next day")


def drift_part(found: Answer, now: Answer) -> None:
    """Draw the detectors' figures."""
    heading("Drift", "Whether customers still look as they did when the generation began.")
    drift = found["drift"]
    if not drift:
        paragraph("Nothing yet: detectors begin one window after the first model.")
        return
    days = [d["day"] for d in drift]
    st.markdown("**Distance to the centres**")
    chart(distance_figure(days, [d["distance"] for d in drift], [d["level"] for d in drift]),
          "distance")  # fmt: skip
    labels = {f["name"]: f["label"] for f in now["features"]}
    labels["segments"] = "shares of the segments"
    psi = {label: [d["psi"].get(name) for d in drift] for name, label in labels.items()}
    if any(any(values) for values in psi.values()):
        st.markdown("**Population stability index by feature**")
        st.caption("Against the generation's start; 0 is no difference. Detectors warn at 0.1 and "
                   "call a check at 0.25, unless settings say otherwise.")  # fmt: skip
        chart(psi_figure(days, psi), "psi")
