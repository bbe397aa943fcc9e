"""Reading a playbook's TOML, and what its types cannot refuse."""

import math
import re
from itertools import groupby
from operator import attrgetter
from typing import Final

import msgspec

from segstream.core.mapping_checks import did_you_mean
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
    _check_names(playbook, where)
    for template in playbook.template:
        _check_template(template, f"{where}: template `{template.name}`", spec)
    return playbook


def _hint(error: msgspec.ValidationError) -> str:
    keys = sorted({k for kind in (Playbook, Template, Condition) for k in kind.__struct_fields__})
    choices: tuple[tuple[str, list[str]], ...] = (
        (r"unknown field `([^`]+)`", keys),
        (r"Invalid enum value '([^']*)'", [*LEVELS]),
    )
    for pattern, known in choices:
        found = re.search(pattern, str(error))
        if found:
            return f" {did_you_mean(found[1], known)}"
    return " Mend that key; docs/playbook.md shows each."


def _check_names(playbook: Playbook, where: str) -> None:
    names = [t.name for t in playbook.template]
    for at, name in enumerate(names):
        place = f"{where}: template {at + 1}"
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


def _check_template(template: Template, where: str, spec: CompiledSpec) -> None:
    told = {"strategy": (template.strategy,), "actions": template.actions}
    for key, sentences in told.items():
        if not sentences or not all(sentence.strip() for sentence in sentences):
            raise ConfigError(f"{where}: expected `{key}`, got nothing. Say what to do.")
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
