"""Specs, events and models for hypothesis to draw."""

from typing import Any, get_args

from hypothesis import strategies as st
from tests.core.engine import CURRENCY, DAY_MS, HOUR_MS, MINUTE_MS, model_of

from segstream.core.events import Event, EventType, Item
from segstream.core.model import Model, Segment
from segstream.core.spec import Feature, Kind, Measure, Spec

START_MS = 18_700 * DAY_MS + 20 * HOUR_MS + 30 * MINUTE_MS
"""Some evening of 2021: the first day closes after three and a half hours."""

CUSTOMERS = ("ann", "bob", "cem", "dörte", "", "6")
CHANNELS = ("web", "store", "telex", None)
CATEGORIES = ("wine", "bread", None)
COUNTED = ("purchase", "return", "visit", "coupon_claimed", "campaign_response")
WINDOWS = (1 / 24, 0.5, 1.0, 2.0, 7.0, 30.0, None)

money = st.integers(0, 20_000).map(lambda cents: cents / 100)
optional_money = st.one_of(st.none(), money)


def measures(name: str) -> st.SearchStrategy[Measure]:
    """Any measure under a name."""
    types = st.sets(st.sampled_from(COUNTED), min_size=1).map(lambda t: tuple(sorted(t)))
    channel = st.sets(st.sampled_from(["web", "store"]), min_size=1).map(lambda s: tuple(sorted(s)))
    nothing: dict[str, tuple[str, ...]] = {}
    by_item: list[dict[str, tuple[str, ...]]] = [
        nothing,
        {"category": ("wine",)},
        {"product_id": ("p1", "p2")},
        {"category": ("wine",), "product_id": ("p1",)},
    ]
    item = st.sampled_from(by_item)
    where = st.one_of(st.just(nothing), channel.map(lambda c: {"channel": c}))
    full = st.tuples(where, item).map(lambda pair: {**pair[0], **pair[1]})
    order = st.builds(Measure, st.just(name), st.just(("purchase",)), st.just("order"), where=where)
    other = st.builds(
        Measure, st.just(name), types, st.sampled_from(["event", "amount", "quantity", "discount"]),
        where=full,
    )  # fmt: skip
    return st.one_of(order, other)


@st.composite
def features(draw: st.DrawFn, name: str, available: tuple[Measure, ...]) -> Feature:
    """Any feature over some measures."""
    kind = draw(st.sampled_from(get_args(Kind)))
    counting = [
        m.name for m in available if m.value in ("order", "event") and "return" not in m.types
    ]
    if kind in ("gap", "overdue") and not counting:
        kind = "recency"
    fields: dict[str, Any] = {"name": name, "kind": kind}
    every = [m.name for m in available]
    if kind in ("count", "sum", "mean", "ratio"):
        fields["window_days"] = draw(st.sampled_from(WINDOWS))
    if kind in ("count", "sum", "mean", "ratio", "recency"):
        fields["measure"] = draw(st.sampled_from(every))
    if kind in ("mean", "ratio"):
        fields["per"] = draw(st.sampled_from(every))
    if kind in ("gap", "overdue"):
        fields["measure"] = draw(st.sampled_from(counting))
        fields["floor"] = draw(st.sampled_from([0.5, 1.0, 7.0]))
        fields["ceiling"] = draw(st.sampled_from([7.0, None]))
    if kind == "tenure":
        fields["attribute"] = draw(st.sampled_from([None, "joined_at"]))
    if kind == "attribute":
        fields["attribute"] = draw(st.sampled_from(["income", "birth_year", "children"]))
    if kind == "age":
        fields["attribute"] = "birth_year"
    if kind == "one_hot":
        fields["attribute"] = draw(st.sampled_from(["gender", "city"]))
        fields["category"] = draw(st.sampled_from(["f", "Ulm", "other"]))
    fields["transform"] = draw(st.sampled_from(["none", "log1p"]))
    fields["scale"] = draw(st.sampled_from([1.0, 30.0, 0.1]))
    fields["offset"] = draw(st.sampled_from([0.0, 0.0, 1.5]))
    fields["least"] = draw(st.sampled_from([None, -0.5]))
    fields["clip"] = draw(st.sampled_from([None, 5.0]))
    return Feature(**fields)


@st.composite
def specs(draw: st.DrawFn, max_features: int = 7) -> Spec:
    """Any spec of up to four measures."""
    n = draw(st.integers(1, 4))
    available = tuple(draw(measures(f"m{i}")) for i in range(n))
    count = draw(st.integers(1, max_features))
    return Spec(available, tuple(draw(features(f"f{i}", available)) for i in range(count)))


items = st.lists(
    st.builds(
        Item, product_id=st.sampled_from(["p1", "p2", "p3"]), category=st.sampled_from(CATEGORIES),
        quantity=st.integers(0, 5).map(float), amount=money, discount=money,
    ),
    min_size=1, max_size=3,
)  # fmt: skip


@st.composite
def bodies(draw: st.DrawFn, kinds: tuple[str, ...], *, with_items: bool = True) -> dict[str, Any]:
    """An event's fields without id, customer and time."""
    kind = draw(st.sampled_from(kinds))
    if kind == "erase":
        return {"type": kind}
    if kind == "profile":
        return {
            "type": kind,
            "income": draw(optional_money),
            "birth_year": draw(st.sampled_from([None, 1950, 2001])),
            "children": draw(st.sampled_from([None, 0, 3])),
            "gender": draw(st.sampled_from([None, "f", "m"])),
            "city": draw(st.sampled_from([None, "Ulm", "Bonn"])),
            "joined_at": draw(st.sampled_from([None, START_MS - 90 * DAY_MS, -5, 9 * 10**12])),
        }
    body: dict[str, Any] = {
        "type": kind,
        "channel": draw(st.sampled_from(CHANNELS)),
        "discount": draw(money),
    }
    if with_items and kind in ("purchase", "return") and draw(st.integers(0, 3)) == 0:
        return {**body, "items": draw(items)}
    return {
        **body,
        "amount": draw(money),
        "quantity": draw(st.integers(0, 9).map(float)),
        "product_id": draw(st.sampled_from(["p1", "p2"])),
        "category": draw(st.sampled_from(CATEGORIES)),
    }


KINDS: tuple[str, ...] = (
    "purchase", "purchase", "purchase", "return", "visit", "coupon_claimed", "campaign_response",
    "profile",
)  # fmt: skip
STEPS_MS = (0, 0, 1, MINUTE_MS, 17 * MINUTE_MS, HOUR_MS, 5 * HOUR_MS, 30 * HOUR_MS)
LONG_STEPS_MS = (0, MINUTE_MS, 5 * HOUR_MS, 50 * HOUR_MS, 29 * DAY_MS, 30 * DAY_MS, 31 * DAY_MS)
LONG_LATE_MS = (0, 0, 0, HOUR_MS, 10 * DAY_MS, 30 * DAY_MS, 60 * DAY_MS, 61 * DAY_MS)
LATE_MS = (0, 0, 0, 0, 0, HOUR_MS, 30 * HOUR_MS, 47 * HOUR_MS, 48 * HOUR_MS, 100 * HOUR_MS)


@st.composite
def logs(
    draw: st.DrawFn, *, ordered: bool = False, bad: bool = True, long: bool = False,
    max_size: int = 40,
) -> list[Event]:  # fmt: skip
    """A partition's events: late ones, repeats, shared orders, erasures and bad ones too.

    Hours to days lie between the events of a usual log, weeks between those of a long one.
    """
    ahead, late = (LONG_STEPS_MS, LONG_LATE_MS) if long else (STEPS_MS, LATE_MS)
    lateness = (0,) if ordered else late
    n = draw(st.integers(1, max_size))  # a plain list would hold six events or so
    steps = draw(st.lists(_steps(ahead, lateness, long), min_size=n, max_size=n))
    now, events = START_MS, []
    for i, (step, back, who, order, repeat, body) in enumerate(steps):
        now += step
        ts = now - back
        number = i - repeat if 0 < repeat <= i else i
        fields = {**body, "event_id": f"e{number}", "customer_id": CUSTOMERS[who] or "é\n\"'"}
        if body["type"] in ("purchase", "return") and order:
            fields["order_id"] = f"o{order}"
        if bad:
            fields, ts = _spoiled(fields, draw), draw(_spoiled_times(ts))
        events.append(Event(ts=ts, **fields))
    return events


def _steps(ahead: tuple[int, ...], late: tuple[int, ...], long: bool) -> st.SearchStrategy[Any]:
    return st.tuples(
        st.sampled_from(ahead),
        st.sampled_from(late),
        st.integers(0, 1 if long else len(CUSTOMERS) - 1),
        st.integers(0, 4),
        st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2, 5]),
        bodies((*KINDS, "erase") if long else (*KINDS, *KINDS, "erase")),
    )


def _spoiled(fields: dict[str, Any], draw: st.DrawFn) -> dict[str, Any]:
    """One event in twelve or so breaks the contract."""
    how = draw(st.integers(0, 40))
    if how == 1:
        return {**fields, "currency": "USD"}
    if how == 2:
        return {**fields, "type": "merge"}
    if how == 3 and fields["type"] in ("purchase", "return"):
        return {**fields, "amount": None, "items": None}
    if how == 4:
        return {**fields, "currency": CURRENCY}
    if how == 5 and fields.get("items"):
        return {**fields, "amount": 1e6}
    return fields


def _spoiled_times(ts: int) -> st.SearchStrategy[int]:
    return st.sampled_from([ts] * 30 + [-1, ts + 50 * DAY_MS, ts + 61 * DAY_MS, ts + 200 * DAY_MS])


EVENT_TYPES: tuple[str, ...] = get_args(EventType)

coordinate = st.integers(-40, 60).map(lambda tenths: tenths / 10)


@st.composite
def models(draw: st.DrawFn, spec: Spec, after: Model | None = None, minute: int = 0) -> Model:
    """Any model of a spec; after another one either its next revision or a new generation."""
    n = len(spec.features)

    def vector(strategy: st.SearchStrategy[float]) -> tuple[float, ...]:
        return tuple(draw(st.lists(strategy, min_size=n, max_size=n)))

    if after is not None and draw(st.booleans()):
        segments = tuple(
            Segment(s.id, s.name, "", "", vector(coordinate), s.average, 1, 0.5)
            for s in after.segments
        )
        return _next(after, minute, segments=segments, revision=after.revision + 1)
    k = draw(st.integers(1, 4))
    base = model_of(spec, [vector(coordinate) for _ in range(k)])
    ids = draw(st.permutations([1, 2, 3, 4, 7, 9]))[:k]
    segments = tuple(
        Segment(i, f"Segment {i}", "", "", s.centre, s.average, 1, 0.5)
        for i, s in zip(ids, base.segments, strict=True)
    )
    scaling = {
        "mean": vector(coordinate),
        "weight": vector(st.sampled_from([1.0, 0.25, 0.7, 2.0])),
        "median": vector(coordinate),
        "segments": segments,
    }
    if after is None:
        return _next(base, minute, number=1, **scaling)
    reason = draw(st.sampled_from(["recluster", "rollback"]))
    restores = draw(st.integers(1, after.generation)) if reason == "rollback" else -1
    return _next(
        after, minute, **scaling, generation=after.generation + 1, revision=0,
        retired=tuple(s for s in (*after.segments, *after.retired) if s.id not in ids),
        generation_minute=minute,
        generation_reason=reason, restores=restores,
    )  # fmt: skip


def _next(model: Model, minute: int, **changed: Any) -> Model:
    fields = {name: getattr(model, name) for name in model.__struct_fields__}
    return Model(**{**fields, "number": model.number + 1, "minute": minute, **changed})
