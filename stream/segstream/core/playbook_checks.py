"""Reading a playbook's TOML, and what its types cannot refuse."""

import math
import re
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final, get_args

import msgspec

from segstream.core.mapping_checks import did_you_mean
from segstream.core.place_playbook import MARKS, PlaceTemplate, Way
from segstream.core.places_answer import PlaceKind
from segstream.core.playbook import Condition, Playbook, Template
from segstream.core.portrait import LEVELS, ROLES
from segstream.core.spec import CompiledSpec
from segstream.errors import ConfigError

_PAIRS: Final = (
    ("ratio_at_least", "ratio_at_most"),
    ("at_least", "at_most"),
    ("average_at_least", "average_at_most"),
)


def load_playbook(text: str, where: str, spec: CompiledSpec) -> Playbook:
    """Read and check a playbook for a spec.

    Parameters
    ----------
    where
        Its name, for messages.

    Raises
    ------
    ConfigError
        Names the template and how to mend it.
    """
    try:
        playbook = msgspec.toml.decode(text, type=Playbook)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: expected a playbook, got: {error}.{_hint(error)}") from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"{where}: expected TOML, got: {error}. Mend that line.") from error
    _check_names([t.name for t in playbook.template], where, "template")
    for template in playbook.template:
        _check_template(template, f"{where}: template `{template.name}`", spec)
    _check_names([place.name for place in playbook.place], where, "place")
    for place in playbook.place:
        _check_place(place, f"{where}: place `{place.name}`")
    return playbook


def _hint(error: msgspec.ValidationError) -> str:
    kinds = (Playbook, Template, Condition, PlaceTemplate)
    keys = sorted({k for kind in kinds for k in kind.__struct_fields__})
    choices: tuple[tuple[str, list[str]], ...] = (
        (r"unknown field `([^`]+)`", keys),
        (r"Invalid enum value '([^']*)'", _choices(error)),
    )
    for pattern, known in choices:
        found = re.search(pattern, str(error))
        if found:
            return f" {did_you_mean(found[1], known)}"
    return " Mend that key; docs/playbook.md shows each."


def _choices(error: msgspec.ValidationError) -> list[str]:
    """What may stand where a message says that something else did."""
    if "`$.place" not in str(error):
        return [*LEVELS]
    return [*get_args(PlaceKind)] if ".of" in str(error) else [*get_args(Way)]


def _check_names(names: Sequence[str], where: str, kind: str) -> None:
    for at, name in enumerate(names):
        place = f"{where}: {kind} {at + 1}"
        if not name.strip():
            raise ConfigError(f"{place}: expected a name, got {name!r}. Give it one.")
        if ":" in name or name != name.strip() or re.search(r" \(\d+\)$", name):
            raise ConfigError(
                f"{place}: expected a name without a colon, spaces around it or a number in"
                f" brackets at its end, got {name!r}. These tell like segments apart: choose"
                " another name."
            )
        if name in names[:at]:
            raise ConfigError(
                f"{place}: expected each name once, got {name!r} again. Rename one, or join them."
            )


def _check_told(template: Template | PlaceTemplate, where: str) -> None:
    told = {"strategy": (template.strategy,), "actions": template.actions}
    for key, sentences in told.items():
        if not sentences or not all(sentence.strip() for sentence in sentences):
            raise ConfigError(f"{where}: expected `{key}`, got nothing. Say what to do.")


def _check_place(place: PlaceTemplate, where: str) -> None:
    _check_told(place, where)
    if not place.of:
        raise ConfigError(
            f"{where}: expected what it is said of in `of`, got nothing. Name one or more of"
            f" {', '.join(get_args(PlaceKind))}."
        )
    if (place.redeemed is None) == (place.segment is None):
        raise ConfigError(
            f'{where}: expected one of `redeemed` and `segment`, each "more" or "less", got'
            f" {'neither' if place.redeemed is None else 'both'}. Say which figure differs; for"
            " both, write two places."
        )
    if place.segment is not None and place.of != ("city",):
        raise ConfigError(
            f'{where}: expected of = ["city"] with `segment`, got {[*place.of]}. Segments are'
            " compared between cities alone."
        )
    known = MARKS if place.segment else MARKS[:1]
    for mark in place.marks:
        if mark not in known:
            braces = " and ".join(f"{{{name}}}" for name in known)
            raise ConfigError(
                f"{where}: expected no braces but {braces}, got {{{mark}}}. Mend that text."
            )
    _check_place_bounds(place, where)


def _check_place_bounds(place: PlaceTemplate, where: str) -> None:
    for name in ("ratio_at_least", "ratio_at_most", "claims_at_least", "customers_at_least"):
        bound = getattr(place, name)
        if bound is not None and not (math.isfinite(bound) and bound >= 0):
            raise ConfigError(f"{where}: expected {name} >= 0, got {bound:g}. Mend it.")
    low, high = place.ratio_at_least, place.ratio_at_most
    if low is not None and high is not None and low > high:
        raise ConfigError(
            f"{where}: expected ratio_at_least <= ratio_at_most, got {low:g} and {high:g}: nothing"
            " can be both. Mend one."
        )


def _check_template(template: Template, where: str, spec: CompiledSpec) -> None:
    _check_told(template, where)
    if not template.when:
        raise ConfigError(
            f"{where}: expected conditions in `when`, got none. A name claims only what figures"
            ' show: write e.g. when = [{ feature = "value", ratio_at_least = 1.25 }].'
        )
    for condition in template.when:
        _check_condition(condition, where, spec)
    by_feature = attrgetter("feature")
    for feature, conditions in groupby(sorted(template.when, key=by_feature), by_feature):
        _check_bounds(list(conditions), f"{where}: `{feature}`")


def _check_condition(condition: Condition, where: str, spec: CompiledSpec) -> None:
    if condition.feature not in ROLES and condition.feature not in spec.spec.names:
        known = [*ROLES, *spec.spec.names]
        raise ConfigError(
            f"{where}: expected a role or a feature of the settings, got"
            f" `{condition.feature}`. {did_you_mean(condition.feature, known)}"
        )
    bounds = {name: getattr(condition, name) for pair in _PAIRS for name in pair}
    given = {name: bound for name, bound in bounds.items() if bound is not None}
    if not given:
        raise ConfigError(
            f"{where}: expected a bound on `{condition.feature}`, got none. Add one of"
            f" {', '.join(bounds)}."
        )
    for name, bound in given.items():
        if isinstance(bound, float) and not math.isfinite(bound):
            raise ConfigError(f"{where}: expected {name} to be a number, got {bound}. Mend it.")
        if name.startswith("ratio") and bound < 0:
            raise ConfigError(
                f"{where}: expected {name} >= 0, got {bound:g}. A ratio of 1 is the average of all"
                " customers."
            )


def _check_bounds(conditions: list[Condition], where: str) -> None:
    """Refuse bounds on one feature that no segment can meet together."""
    for low, high in _PAIRS:
        lows = [_number(getattr(c, low)) for c in conditions if getattr(c, low) is not None]
        highs = [_number(getattr(c, high)) for c in conditions if getattr(c, high) is not None]
        if lows and highs and max(lows) > min(highs):
            raise ConfigError(
                f"{where}: expected {low} <= {high}, got {_shown(low, max(lows))} and"
                f" {_shown(high, min(highs))}: no segment can be both. Mend one."
            )


def _number(bound: float | str) -> float:
    return float(LEVELS.index(bound)) if bound in LEVELS else float(bound)


def _shown(name: str, bound: float) -> str:
    return LEVELS[int(bound)] if name.startswith("at_") else f"{bound:g}"
