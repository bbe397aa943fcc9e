"""Reading a campaign file, and what its types cannot refuse."""

import math
import re
from collections.abc import Iterator
from difflib import get_close_matches

import msgspec

from segstream.core.campaigns import (
    Campaign,
    Campaigns,
    Cap,
    DeadLetterPlace,
    WebhookSettings,
)
from segstream.core.mapping_checks import did_you_mean
from segstream.core.model import Model
from segstream.errors import ConfigError


def load_campaigns(text: str, where: str) -> Campaigns:
    """Read and check a campaign file.

    Parameters
    ----------
    where
        Its name, for messages.

    Raises
    ------
    ConfigError
        Names the campaign and how to mend it.
    """
    try:
        rules = msgspec.toml.decode(text, type=Campaigns)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: expected campaigns, got: {error}.{_hint(error)}") from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"{where}: expected TOML, got: {error}. Mend that line.") from error
    _check_names(rules, where)
    for key, value, fine, expected in _bounds(rules):
        if not fine:
            raise ConfigError(f"{where}: {key}: expected {expected}, got {value!r}. Mend it.")
    for campaign in rules.campaign:
        _check_campaign(campaign, rules, f"{where}: campaign `{campaign.name}`")
    return rules


def _hint(error: msgspec.ValidationError) -> str:
    kinds: tuple[type[msgspec.Struct], ...] = (
        Campaigns, Campaign, Cap, WebhookSettings, DeadLetterPlace,
    )  # fmt: skip
    keys = sorted({key for kind in kinds for key in kind.__struct_fields__})
    found = re.search(r"unknown field `([^`]+)`", str(error))
    if found:
        return f" {did_you_mean(found[1], keys)}"
    return " Mend that key; docs/campaigns.md shows each."


def _check_names(rules: Campaigns, where: str) -> None:
    names = [c.name for c in rules.campaign]
    if not names:
        raise ConfigError(f"{where}: expected at least one [[campaign]], got none. Add one.")
    for at, name in enumerate(names):
        if not name.strip():
            raise ConfigError(
                f"{where}: campaign {at + 1}: expected a name, got none. Give it one."
            )
        if name in names[:at]:
            raise ConfigError(
                f"{where}: expected each name once, got {name!r} again. Rename one: the name"
                " decides who is held out and who had it already."
            )


def _bounds(rules: Campaigns) -> Iterator[tuple[str, object, bool, str]]:
    """Key, value, whether it is fine, what is."""
    yield "max_age_hours", rules.max_age_hours, rules.max_age_hours > 0, "above 0"
    yield "holdout", rules.holdout, 0 <= rules.holdout < 1, "0 to below 1"
    yield "remember_days", rules.remember_days, rules.remember_days >= 1, "1 or more"
    yield from _cap_bounds("cap", rules.cap)
    web = rules.webhook
    if web is None:
        return
    shortest, longest = web.backoff_s
    yield "webhook.url", web.url, re.match(r"https?://[^\s/]+", web.url) is not None, "http(s)://"
    yield "webhook.timeout_s", web.timeout_s, web.timeout_s > 0, "above 0"
    yield "webhook.backoff_s", web.backoff_s, 0 < shortest <= longest, "0 < shortest <= longest"
    yield "webhook.give_up_after_s", web.give_up_after_s, web.give_up_after_s >= 0, "0 or more"
    yield "webhook.concurrency", web.concurrency, web.concurrency >= 1, "1 or more"


def _cap_bounds(key: str, cap: Cap | None) -> Iterator[tuple[str, object, bool, str]]:
    if cap is not None:
        yield f"{key}.count", cap.count, cap.count >= 1, "1 or more"
        yield f"{key}.days", cap.days, 0 < cap.days < math.inf, "above 0"


def _check_campaign(campaign: Campaign, rules: Campaigns, where: str) -> None:
    if "erased" in campaign.reasons or not campaign.reasons:
        raise ConfigError(
            f"{where}: expected reasons other than `erased`, got {list(campaign.reasons)}. Whoever"
            " asked to be erased gets no message: remove it."
        )
    if campaign.sink == "webhook" and rules.webhook is None:
        raise ConfigError(
            f'{where}: expected [webhook] with a url, got none. Add it, or write sink = "file".'
        )
    age, holdout, again = campaign.max_age_hours, campaign.holdout, campaign.reentry
    bounds = (
        ("max_age_hours", age, age is None or age > 0, "above 0"),
        ("holdout", holdout, holdout is None or 0 <= holdout < 1, "0 to below 1"),
        ("min_margin", campaign.min_margin, campaign.min_margin >= 0, "0 or more"),
        ("reentry", again, isinstance(again, str) or again > 0, '"once", "every" or days above 0'),
        *_cap_bounds("cap", campaign.cap),
    )
    for key, value, fine, expected in bounds:
        if not fine:
            raise ConfigError(f"{where}: {key}: expected {expected}, got {value!r}. Mend it.")


# ---- segments --------------------------------------------------------------------------


def resolve_segments(rules: Campaigns, model: Model, where: str) -> Campaigns:
    """Put ids in the place of segments' names, so that a later rename changes nothing.

    Raises
    ------
    ConfigError
        A name or id that the model does not have, with those it has.
    """
    return msgspec.structs.replace(
        rules,
        campaign=tuple(
            msgspec.structs.replace(
                c,
                enters=_resolved(c.enters, model, f"{where}: campaign `{c.name}`: enters"),
                leaves=_resolved(c.leaves, model, f"{where}: campaign `{c.name}`: leaves"),
            )
            for c in rules.campaign
        ),
    )


def _resolved(wanted: tuple[int | str, ...], model: Model, where: str) -> tuple[int | str, ...]:
    """Ids of what is wanted: a retired segment may still be left."""
    every = (*model.retired, *model.segments)
    ids = {segment.name: segment.id for segment in every}
    for one in wanted:
        if one not in ids and one not in ids.values():
            near = get_close_matches(str(one), list(ids), n=1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            known = ", ".join(f"{segment.name!r} ({segment.id})" for segment in model.segments)
            raise ConfigError(
                f"{where}: expected a segment of model {model.version}, got {one!r}. {hint}"
                f"There are: {known}."
            )
    return tuple(ids[one] if isinstance(one, str) else one for one in wanted)
