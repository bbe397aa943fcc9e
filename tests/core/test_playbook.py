"""Playbooks: a name is given exactly where the figures show what it claims."""

from itertools import product
from typing import Final

import msgspec
import numpy as np
import pytest

from segstream.adapters.playbook_files import named_playbook, playbook_text
from segstream.core.playbook import (
    PLAIN_STRATEGY,
    Condition,
    Label,
    Playbook,
    Template,
    describe_anew,
    fits,
    missing,
    name_segments,
)
from segstream.core.playbook_checks import load_playbook
from segstream.core.portrait import (
    LEVELS,
    ROLES,
    Figures,
    columns_of,
    portraits,
    quintiles_of,
    value_feature,
)
from segstream.core.spec import CompiledSpec, Feature, Measure, Spec
from segstream.errors import ConfigError
from segstream.settings import RETAIL

RETAIL_SPEC: Final = CompiledSpec(RETAIL)
MEASURES: Final = (
    Measure("orders", ("purchase",), "order"),
    Measure("spend", ("purchase", "return"), "amount"),
    Measure("saved", ("purchase",), "discount"),
    Measure("units", ("purchase", "return"), "quantity"),
    Measure("web_orders", ("purchase",), "order", {"channel": ("web",)}),
    Measure("claims", ("coupon_claimed",), "event"),
    Measure("claims_at_one", ("coupon_claimed",), "event", {"merchant_id": ("m1",)}),
    Measure("claims_at_two", ("coupon_claimed",), "event", {"branch_id": ("b2",)}),
    Measure("redeemed", ("coupon_redeemed",), "event"),
    Measure("answers", ("campaign_response",), "event"),
    Measure("looks", ("visit",), "event"),
)
# One feature per role and a second city and merchant; `other` is no city.
FEATURES: Final = {
    "value": Feature("f_value", "sum", "spend", window_days=90),
    "frequency": Feature("f_frequency", "count", "orders", window_days=90),
    "silence": Feature("f_silence", "recency", "orders"),
    "basket": Feature("f_basket", "mean", "spend", "orders"),
    "units": Feature("f_units", "sum", "units"),
    "basket_units": Feature("f_basket_units", "mean", "units", "orders"),
    "price": Feature("f_price", "ratio", "spend", "units"),
    "discount_share": Feature("f_discount_share", "ratio", "saved", "spend"),
    "coupons_claimed": Feature("f_claimed", "count", "claims"),
    "coupons_redeemed": Feature("f_redeemed", "count", "redeemed"),
    "coupon_share": Feature("f_coupon_share", "ratio", "redeemed", "claims"),
    "responses": Feature("f_responses", "count", "answers"),
    "visits": Feature("f_visits", "count", "looks"),
    "web_share": Feature("f_web_share", "ratio", "web_orders", "orders"),
    "income": Feature("f_income", "attribute", attribute="income"),
    "children": Feature("f_children", "attribute", attribute="children"),
    "age": Feature("f_age", "age", attribute="birth_year"),
    "tenure": Feature("f_tenure", "tenure"),
    "city_share": Feature("f_city", "one_hot", attribute="city", category="Oslo"),
    "merchant_share": Feature("f_merchant", "ratio", "claims_at_one", "claims"),
}
OTHERS: Final = (
    Feature("f_no_city", "one_hot", attribute="city", category="other"),
    Feature("f_city_2", "one_hot", attribute="city", category="Rome"),
    Feature("f_merchant_2", "ratio", "claims_at_two", "claims"),
)
EVERYTHING: Final = CompiledSpec(Spec(MEASURES, (*FEATURES.values(), *OTHERS)))
SHIPPED: Final = named_playbook("retail", RETAIL_SPEC).template
POPULATION: Final = 0.25


def spec_of(*roles: str) -> CompiledSpec:
    """A spec that has features for these roles and no others."""
    return CompiledSpec(Spec(MEASURES, tuple(FEATURES[role] for role in roles)))


def figures(spec: CompiledSpec, **ratios: float) -> Figures:
    """One segment: 1 where nothing is said; quintiles around the mean make levels."""
    average = np.full(spec.n_features, POPULATION)
    for role, ratio in ratios.items():
        average[columns_of(spec, role)[0]] *= ratio
    population = np.full(spec.n_features, POPULATION)
    edges = POPULATION * np.array([0.25, 0.75, 1.2, 2.0])
    return Figures(average[None, :], population, np.tile(edges[:, None], spec.n_features))


def named(spec: CompiledSpec, **ratios: float) -> str:
    """The name of one segment under the playbook that comes with Segstream."""
    playbook = named_playbook("retail", spec)
    return name_segments(playbook, spec, figures(spec, **ratios), [None])[0].name


# ---- never claims what the figures do not show -----------------------------------------


def meeting(template: Template) -> dict[str, float]:
    """Ratios that lie exactly on each bound of a template."""
    found = {}
    for c in template.when:
        bounds = [b for b in (c.ratio_at_least, c.ratio_at_most) if b is not None]
        if c.average_at_least is not None:
            bounds.append(c.average_at_least / POPULATION)
        found[c.feature] = max(bounds)
    return found


@pytest.mark.parametrize("template", SHIPPED, ids=lambda t: t.name)
def test_a_template_fits_on_its_bounds_and_not_beyond(template: Template) -> None:
    """On every bound it fits; a hair beyond any one of them it does not."""
    spec = EVERYTHING
    met = meeting(template)
    assert fits(template, spec, portraits(figures(spec, **met))[0])
    for c in template.when:
        beyond = 0.999 if c.ratio_at_least is not None else 1.001
        broken = met | {c.feature: met[c.feature] * beyond}
        assert not fits(template, spec, portraits(figures(spec, **broken))[0])


@pytest.mark.parametrize("template", SHIPPED, ids=lambda t: t.name)
def test_a_template_claims_nothing_of_the_average_customer(template: Template) -> None:
    """A segment like everybody gets no name that says otherwise, nor does one that is unknown."""
    alike = portraits(figures(EVERYTHING))[0]
    assert fits(template, EVERYTHING, alike) == (template.name == "Steady middle")
    unknown = Figures(np.full((1, EVERYTHING.n_features), np.nan), figures(EVERYTHING).population)
    assert not fits(template, EVERYTHING, portraits(unknown)[0])


@pytest.mark.parametrize("template", SHIPPED, ids=lambda t: t.name)
def test_a_template_is_the_first_to_fit_somewhere(template: Template) -> None:
    """With features for its roles alone, figures well within its bounds get its name."""
    floors = {c.feature for c in template.when if c.ratio_at_least is not None}
    within = {r: v * (1.02 if r in floors else 0.9) for r, v in meeting(template).items()}
    assert named(spec_of(*within), **within) == template.name


@pytest.mark.parametrize("template", SHIPPED, ids=lambda t: t.name)
def test_a_template_without_its_features_is_never_used(template: Template) -> None:
    """Take one of its roles from the spec, and no figures bring its name."""
    for gone in dict.fromkeys(c.feature for c in template.when):
        spec = spec_of(*(role for role in FEATURES if role not in (gone, "city_share")))
        if gone != "city_share" and any(c.feature == "city_share" for c in template.when):
            continue
        assert gone in missing(template, spec)
        ratios = {r: v for r, v in meeting(template).items() if r in FEATURES and r != gone}
        view = portraits(figures(spec, **ratios))[0]
        assert not fits(template, spec, view)


# ---- the customer types of the studies -------------------------------------------------

SMARTCART: Final = ("income", "value", "visits", "frequency", "silence", "children", "responses",
                    "tenure")  # fmt: skip
EXPLORER: Final = ("age", "income", "value", "web_share", "frequency", "visits", "silence")
COUPONS: Final = ("coupons_claimed", "coupons_redeemed", "city_share", "merchant_share")
TOTAL_VALUE: Final = ("value", "units", "price")
STUDIES: Final[list[tuple[tuple[str, ...], str, dict[str, float], dict[str, float]]]] = [
    # roles, name, figures that show it, one figure that takes the name away
    (SMARTCART, "Budget families", {"income": 0.7, "value": 0.3, "children": 1.5},
     {"children": 1.0}),
    (SMARTCART, "Premium loyalists", {"income": 1.4, "value": 2.0, "responses": 1.1},
     {"silence": 1.5}),
    (SMARTCART, "Hesitant browsers", {"value": 0.3, "visits": 1.2, "frequency": 0.7},
     {"visits": 0.9}),
    (SMARTCART, "Affluent engaged", {"income": 1.4, "value": 1.9, "responses": 2.1},
     {"responses": 1.0}),
    (EXPLORER, "Casual shoppers", {"value": 0.4, "frequency": 0.5, "visits": 0.8},
     {"visits": 1.4}),
    (EXPLORER, "VIP", {"income": 1.4, "value": 2.1, "frequency": 1.3}, {"income": 1.0}),
    (EXPLORER, "Browsers without conversion", {"visits": 1.3, "frequency": 0.4, "value": 0.4},
     {"frequency": 0.8}),
    (EXPLORER, "Digital enthusiasts", {"web_share": 1.4, "visits": 1.3, "frequency": 1.3},
     {"web_share": 1.0}),
    (COUPONS, "Coupon hunters", {"coupons_claimed": 1.5, "coupons_redeemed": 1.8},
     {"coupons_redeemed": 1.0}),
    (COUPONS, "Introductory coupons", {"coupons_claimed": 0.5, "coupons_redeemed": 0.4},
     {"coupons_claimed": 0.8}),
    (COUPONS, "Perks without coupons", {"coupons_claimed": 1.0, "coupons_redeemed": 0.3},
     {"coupons_redeemed": 0.7}),
    (COUPONS, "City offers", {"city_share": 3.0}, {"city_share": 1.9}),
    (COUPONS, "Merchant partnerships", {"merchant_share": 2.4}, {"merchant_share": 1.9}),
    (TOTAL_VALUE, "High value", {"value": 1.8, "units": 1.4, "price": 1.1}, {"value": 1.1}),
    (TOTAL_VALUE, "Bulk buyers", {"value": 1.3, "units": 1.7, "price": 0.7}, {"units": 1.1}),
    (TOTAL_VALUE, "Upsell", {"value": 0.6, "units": 0.9, "price": 0.6}, {"price": 0.9}),
    (TOTAL_VALUE, "Cross-sell", {"value": 0.7, "units": 0.6, "price": 1.3}, {"units": 0.9}),
]  # fmt: skip


@pytest.mark.parametrize(("roles", "name", "shown", "broken"), STUDIES, ids=lambda v: str(v)[:24])
def test_customer_types_of_the_studies(
    roles: tuple[str, ...], name: str, shown: dict[str, float], broken: dict[str, float]
) -> None:
    """Each type is named where a study's features show it, and not with one figure otherwise."""
    spec = spec_of(*roles)
    assert named(spec, **shown) == name
    assert named(spec, **(shown | broken)) != name


def before(value: float, frequency: float, silence: float, basket: float) -> str | None:
    """The seven retail names as rules of their own, in their order."""
    rules = (
        ("Gone quiet", silence >= 2.0 and frequency <= 0.75),
        ("Loyal, full baskets", value >= 1.25 and frequency >= 0.9 and basket >= 0.9),
        ("Frequent, small baskets", frequency >= 1.2 and basket <= 0.9),
        ("Big baskets, rare visits", basket >= 1.3 and frequency <= 0.9 and silence < 2.0),
        ("Occasional, small baskets", frequency <= 0.75 and basket <= 0.85 and silence < 2.0),
        ("Steady middle", frequency >= 0.7 and silence <= 1.3),
        ("Occasional shoppers", frequency <= 0.75 and silence < 2.0),
    )
    return next((name for name, holds in rules if holds), None)


@pytest.mark.slow
def test_the_retail_features_get_the_seven_names() -> None:
    """With the default features the file says what the seven rules say, on a whole grid."""
    playbook = named_playbook("retail", RETAIL_SPEC)
    steps = (0.3, 0.72, 0.8, 0.88, 0.95, 1.1, 1.22, 1.4, 1.9, 2.5)
    for value, frequency, silence, basket in product(steps, repeat=4):
        found = figures(
            RETAIL_SPEC, value=value, frequency=frequency, silence=silence, basket=basket
        )
        name = name_segments(playbook, RETAIL_SPEC, found, [None])[0].name
        expected = before(value, frequency, silence, basket)
        assert name == expected if expected else name[0].isupper()


# ---- figures ---------------------------------------------------------------------------


def test_every_role_is_resolved_by_what_a_feature_is() -> None:
    """Each role finds its own feature, whatever its name; `other` is no city."""
    for role, feature in FEATURES.items():
        assert EVERYTHING.spec.features[columns_of(EVERYTHING, role)[0]] == feature
    assert set(FEATURES) == set(ROLES)
    assert len(columns_of(EVERYTHING, "city_share")) == 2
    assert len(columns_of(EVERYTHING, "merchant_share")) == 2


def test_a_part_is_not_taken_for_the_whole() -> None:
    """Orders of one channel are no `frequency`, and spend of all goes before spend of a part."""
    web = Feature("web", "count", "web_orders", window_days=90)
    assert not columns_of(CompiledSpec(Spec(MEASURES, (web,))), "frequency")
    shoes = Measure("shoes", ("purchase",), "amount", {"category": ("shoes",)})
    part, whole = Feature("part", "sum", "shoes"), Feature("whole", "sum", "spend")
    assert value_feature(CompiledSpec(Spec((*MEASURES, shoes), (part, whole)))) == 1
    assert value_feature(CompiledSpec(Spec((*MEASURES, shoes), (web, part)))) == 1


def test_levels_are_quintiles_that_do_not_contradict_the_mean() -> None:
    """Averages lie in five groups of customers; `high` is never below all customers' average."""
    raw = np.arange(1.0, 101.0)[:, None]
    averages = np.array([[10.0], [30.0], [50.0], [70.0], [90.0]])
    seen = portraits(Figures(averages, raw.mean(axis=0), quintiles_of(raw)))
    assert [LEVELS[p.level[0]] for p in seen] == list(LEVELS)
    skewed = np.array([0.0] * 90 + [100.0] * 10)[:, None]
    seen = portraits(Figures(np.array([[5.0], [0.0]]), skewed.mean(axis=0), quintiles_of(skewed)))
    assert [LEVELS[p.level[0]] for p in seen] == ["middle", "very_low"]


def test_levels_hold_only_where_quintiles_are_known() -> None:
    """Without quintiles a level is not claimed; with them it is, and the description says it."""
    spec = spec_of("value")
    when = (Condition("value", at_least="very_high"),)
    playbook = Playbook("", (Template("Top spenders", when, "Keep.", ("Call.",)),))
    known = figures(spec, value=2.5)
    label = name_segments(playbook, spec, known, [None])[0]
    assert label.name == "Top spenders"
    assert label.description == "f value very high, 0.6 (all customers 0.2)"
    unknown = known._replace(quintiles=None)
    label = name_segments(playbook, spec, unknown, [None])[0]
    assert label == Label("Higher f value", "f value 0.6 (all customers 0.2)", PLAIN_STRATEGY, ())


# ---- pinning ---------------------------------------------------------------------------


def test_like_segments_get_names_of_their_own() -> None:
    """A taken name is told apart by the strongest figure, then by a number."""
    playbook = Playbook(template=SHIPPED)
    one = figures(RETAIL_SPEC, value=1.5, frequency=1.1)
    three = one._replace(averages=np.repeat(one.averages, 3, axis=0))
    first = name_segments(playbook, RETAIL_SPEC, three, [None] * 3)
    assert [label.name for label in first] == [
        "Loyal, full baskets", "Steady middle", "Loyal, full baskets: higher spend in 112 days",
    ]  # fmt: skip
    again = name_segments(playbook, RETAIL_SPEC, three, first)
    assert again == first
    fourth = one._replace(averages=np.repeat(one.averages, 4, axis=0))
    labels = name_segments(playbook, RETAIL_SPEC, fourth, [*first, None])
    assert labels[3].name == "Loyal, full baskets: higher spend in 112 days (2)"


def test_a_plain_name_goes_when_it_is_no_longer_true() -> None:
    """Without a template a name still claims: it is replaced when the figure turns."""
    spec, none = spec_of("value"), Playbook()
    label = name_segments(none, spec, figures(spec, value=2.0), [None])[0]
    assert label.name == "Higher f value"
    kept = name_segments(none, spec, figures(spec, value=1.1), [label])[0]
    assert kept.name == "Higher f value"
    turned = name_segments(none, spec, figures(spec, value=0.5), [label])[0]
    assert turned.name == "Lower f value"
    assert name_segments(none, spec, figures(spec), [None])[0].name == "Much like all customers"


def test_between_checks_a_name_stays_and_figures_move() -> None:
    """Describing anew keeps name and advice, also of a template that the playbook lost."""
    playbook = Playbook(template=SHIPPED)
    had = Label("Gone quiet", "old", "Win back.", ("Call.",))
    now = describe_anew(Playbook(), RETAIL_SPEC, figures(RETAIL_SPEC, value=2.0), [had])[0]
    assert now._replace(description="old") == had
    assert now.description.startswith("spend in 112 days high, 0.5")
    same = describe_anew(playbook, RETAIL_SPEC, figures(RETAIL_SPEC), [had])[0]
    assert same.name == "Gone quiet"
    assert same.strategy.startswith("Win back with one strong reason")


def test_a_name_that_the_playbook_lost_is_replaced() -> None:
    """Nothing checks what such a name claims, so it goes."""
    had = Label("Whales", "", "Keep.", ())
    label = name_segments(Playbook(), RETAIL_SPEC, figures(RETAIL_SPEC, value=2.0), [had])[0]
    assert label.name == "Higher spend in 112 days"


# ---- files -----------------------------------------------------------------------------

GOOD: Final = """
[[template]]
name = "Top"
when = [
  { feature = "value", ratio_at_least = 1.5 },
  { feature = "orders_total", at_least = "high" },
]
strategy = "Keep."
actions = ["Call."]
"""
WRONG: Final = [
    ('feature = "value"', 'feature = "valu"', "a role or a feature.*`valu`.*mean `value`"),
    ('at_least = "high"', 'at_least = "higher"', "Invalid enum value 'higher'.*mean `high`"),
    ("ratio_at_least = 1.5", "ratio_atleast = 1.5", "ratio_atleast.*mean `ratio_at_least`"),
    ("ratio_at_least = 1.5", "ratio_at_least = 1.5, ratio_at_most = 1.2",
     "`value`: expected ratio_at_least <= ratio_at_most, got 1.5 and 1.2.*Mend one"),
    ('at_least = "high"', 'at_least = "high", at_most = "low"', "got high and low"),
    (', ratio_at_least = 1.5', "", "expected a bound on `value`, got none. Add one"),
    ("1.5", "-1.5", "expected ratio_at_least >= 0, got -1.5"),
    ("1.5", "nan", "expected ratio_at_least to be a number, got nan"),
    ('name = "Top"', 'name = " "', "template 1: expected a name, got ' '. Give it one"),
    ('name = "Top"', 'name = "Top: shop"', "without a colon.*choose another name"),
    ('strategy = "Keep."', 'strategy = ""', "`Top`: expected `strategy`, got nothing"),
    ('["Call."]', "[]", "`Top`: expected `actions`, got nothing. Say what to do"),
    ('strategy = "Keep."\n', "", "missing required field `strategy`"),
    ("[[template]]", "[[template]", "expected TOML, got.*Mend that line"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "instead", "told"), WRONG, ids=lambda v: str(v)[:30])
def test_a_mistake_is_told_with_its_place(text: str, instead: str, told: str) -> None:
    """What was expected, what came, where, and how to mend it."""
    load_playbook(GOOD, "shop.toml", RETAIL_SPEC)
    assert GOOD.count(text)
    with pytest.raises(ConfigError, match=f"^shop.toml.*{told}"):
        load_playbook(GOOD.replace(text, instead, 1), "shop.toml", RETAIL_SPEC)


def test_bounds_of_several_conditions_must_go_together() -> None:
    """Two conditions on one feature are one claim."""
    two = '{ feature = "value", ratio_at_least = 1.5 }, { feature = "value", ratio_at_most = 1.0 }'
    text = GOOD.replace('{ feature = "value", ratio_at_least = 1.5 }', two)
    with pytest.raises(ConfigError, match=r"got 1\.5 and 1: no segment can be both"):
        load_playbook(text, "shop.toml", RETAIL_SPEC)


def test_a_name_twice_is_refused() -> None:
    """Two templates of one name could not be told apart."""
    with pytest.raises(ConfigError, match="template 2: expected each name once, got 'Top' again"):
        load_playbook(GOOD + GOOD, "shop.toml", RETAIL_SPEC)


def test_no_condition_is_refused() -> None:
    """A name without conditions would claim whatever it says of everybody."""
    with pytest.raises(ConfigError, match="expected conditions in `when`, got none"):
        load_playbook(
            '[[template]]\nname = "A"\nwhen = []\nstrategy = "S."\nactions = ["B."]', "a.toml",
            RETAIL_SPEC,
        )  # fmt: skip


def test_a_playbook_that_is_not_there() -> None:
    """An unknown name and a missing file say what there is."""
    with pytest.raises(ConfigError, match=r"got 'retial'\. Did you mean `retail`"):
        playbook_text("retial")
    with pytest.raises(ConfigError, match=r"expected a readable playbook file.*one of: retail"):
        playbook_text("nowhere.toml")


def test_the_shipped_playbook_comes_back_from_json() -> None:
    """A playbook is plain values."""
    playbook = named_playbook("retail", RETAIL_SPEC)
    assert msgspec.json.decode(msgspec.json.encode(playbook), type=Playbook) == playbook
