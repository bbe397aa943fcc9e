"""Ann visits, and segments are about how often: changes small enough to check by hand."""

import hashlib
import json
from datetime import datetime

from tests.core.decoding import told
from tests.core.engine import HOUR_MS, MINUTE_MS, NAMESPACE, Engine, model_of, policy
from tests.core.strategies import START_MS
from tests.core.worlds import Switcher

from segstream.core.changes import Change
from segstream.core.events import Event
from segstream.core.layout import Policy
from segstream.core.model import Model
from segstream.core.spec import CompiledSpec, Feature, Measure, Spec

MINUTE = START_MS // MINUTE_MS
SPEC = Spec(
    (Measure("visits", ("visit",), "event"),),
    (Feature("visits", "count", "visits", window_days=10),),
)
LOW, HIGH, TOP = [0.0], [4.0], [10.0]


def run(
    *visits_at_hours: float, until_hour: float = 0, rules: Policy | None = None,
    model: Model | None = None, coming: list[Model | None] | None = None,
) -> Engine:  # fmt: skip
    """Ann visits at some hours; then time goes on."""
    centres = model or model_of(SPEC, [LOW, HIGH, TOP])
    engine = Engine(CompiledSpec(SPEC), rules or policy(), centres, Switcher(coming or []))
    engine.batch(
        Event(event_id=f"v{i}", customer_id="ann", ts=START_MS + round(h * HOUR_MS), type="visit")
        for i, h in enumerate(visits_at_hours)
    )
    return engine.until(MINUTE + round(until_hour * 60))


def changes_of(engine: Engine) -> list[Change]:
    return [told(change) for change in engine.changes]


def story(engine: Engine) -> list[tuple[str, int | None]]:
    """Reason and new segment of each change."""
    return [(c.data.reason, c.data.to.id if c.data.to else None) for c in changes_of(engine)]


def moment_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def candidate_ids(change: Change, causes: set[str]) -> set[str]:
    """The id by its formula, for each cause there could have been."""
    d = change.data
    parts = [
        NAMESPACE, change.subject, d.sequence, d.from_.id if d.from_ else None,
        d.to.id if d.to else None, moment_ms(change.time),
    ]  # fmt: skip
    texts = (json.dumps([*parts, cause], separators=(",", ":")) for cause in causes)
    return {hashlib.sha256(text.encode()).hexdigest()[:32] for text in texts}
