"""`[[place]]` of a playbook: what is refused, and with which remedy; what ships is usable."""

import pytest

from segstream.adapters.playbook_files import named_playbook
from segstream.core.place_playbook import Finding, PlaceTemplate, advice
from segstream.core.playbook_checks import load_playbook
from segstream.core.spec import CompiledSpec
from segstream.errors import ConfigError
from segstream.settings import RETAIL

SPEC = CompiledSpec(RETAIL)
GOOD = {
    "name": '"One"', "of": '["city"]', "redeemed": '"more"', "strategy": '"Go to {place}."',
    "actions": '["Go."]',
}  # fmt: skip


def toml(**changed: str | None) -> str:
    lines = [f"{key} = {value}\n" for key, value in (GOOD | changed).items() if value]
    return f"[[place]]\n{''.join(lines)}"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"name": '" "'}, "place 1: expected a name"),
        ({"strategy": '""'}, "place `One`: expected `strategy`, got nothing"),
        ({"actions": "[]"}, "expected `actions`, got nothing"),
        ({"of": "[]"}, "Name one or more of city, coupon, merchant, branch"),
        ({"of": '["citi"]'}, "Did you mean `city`?"),
        ({"redeemed": '"mor"'}, "Did you mean `more`?"),
        ({"redeemed": None}, "got neither"),
        ({"segment": '"more"'}, "got both"),
        ({"redeemed": None, "segment": '"more"', "of": '["city", "branch"]'},
         "Segments are compared between cities alone"),
        ({"strategy": '"To {segment}."'}, "expected no braces but {place}, got {segment}"),
        ({"actions": '["To {where}."]'}, "got {where}"),
        ({"ratio_at_least": "-1.0"}, "expected ratio_at_least >= 0"),
        ({"ratio_at_most": "nan"}, "expected ratio_at_most >= 0"),
        ({"claims_at_least": "-1"}, "expected claims_at_least >= 0"),
        ({"ratio_at_least": "2.0", "ratio_at_most": "1.0"}, "nothing can be both"),
        ({"ratio_atleast": "2.0"}, "Did you mean `ratio_at_least`?"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_its_remedy(changed: dict[str, str | None], says: str) -> None:
    """The message names the place and says how to mend it."""
    with pytest.raises(ConfigError) as refused:
        load_playbook(toml(**changed), "shop.toml", SPEC)
    assert str(refused.value).startswith("shop.toml")
    assert says in str(refused.value)


def test_each_name_is_given_once() -> None:
    """Two places of one name would be the same thing to a reader."""
    with pytest.raises(ConfigError, match="expected each name once, got 'One' again"):
        load_playbook(toml() + toml(), "shop.toml", SPEC)


def found(kind: str, way: str, *, segment: tuple[int, str] | None = None) -> Finding:
    """A large difference, behind which there is much."""
    ratio = 2.0 if way == "more" else 0.5
    return Finding(kind, 'a "b" {c}', way, ratio, 500, 500, segment, "why")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["city", "coupon", "merchant", "branch"])
@pytest.mark.parametrize("way", ["more", "less"])
def test_the_shipped_playbook_has_a_word_for_each(kind: str, way: str) -> None:
    """Whatever redeems clearly more or less is spoken of, by its name as it is."""
    said = advice(named_playbook("retail", SPEC).place, found(kind, way))
    assert len(said) == 1
    assert 'a "b" {c}' in said[0].strategy
    assert said[0].segment_id is None


def test_a_small_difference_or_a_small_place_is_left_alone() -> None:
    """The first template that fits speaks, bounds included; none, and nothing is said."""
    template = PlaceTemplate(
        "One", ("city",), "Go to {place} with {segment}.", ("Go.",), segment="more",
        ratio_at_least=2.0, ratio_at_most=3.0, claims_at_least=500, customers_at_least=500,
    )  # fmt: skip
    own = found("city", "more", segment=(7, "{place}s"))
    assert advice([template], own)[0].strategy == 'Go to a "b" {c} with {place}s.'
    assert advice([template], own)[0].segment_id == 7
    for smaller in (
        Finding("city", "a", "more", 1.9, 500, 500, (7, "x"), ""),
        Finding("city", "a", "more", 3.1, 500, 500, (7, "x"), ""),
        Finding("city", "a", "more", 2.0, 499, 500, (7, "x"), ""),
        Finding("city", "a", "more", 2.0, 500, 499, (7, "x"), ""),
        Finding("city", "a", "less", 2.0, 500, 500, (7, "x"), ""),
        Finding("city", "a", "more", 2.0, 500, 500, None, ""),
        Finding("branch", "a", "more", 2.0, 500, 500, (7, "x"), ""),
    ):
        assert advice([template], smaller) == []
