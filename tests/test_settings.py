"""Settings: every key is checked, and a mistake is told with its key."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from segstream.core.trainer_state import TrainerSettings
from segstream.errors import ConfigError
from segstream.main_job import read_settings
from segstream.settings import (
    RETAIL,
    SWEEP_HOURS,
    ClockSettings,
    DeadLetterSettings,
    PolicySettings,
    Settings,
    check_settings,
    compile_spec,
    load_settings,
    policy_of,
)

SECTIONS: dict[str, type[msgspec.Struct]] = {
    "policy": PolicySettings,
    "model": TrainerSettings,
    "clock": ClockSettings,
    "dead_letters": DeadLetterSettings,
}


def test_an_empty_file_is_the_defaults() -> None:
    """Without a file, or with an empty one, the retail defaults hold, and they are valid."""
    assert load_settings("", "empty.toml") == Settings() == read_settings(None)
    check_settings(Settings(), "defaults")
    assert compile_spec(Settings()).spec.digest == RETAIL.digest


def test_settings_come_back_from_their_json() -> None:
    """What a state keeps of its settings is what they were."""
    text = '[model]\nk = 4\n[[measures]]\nname = "visits"\ntypes = ["visit"]\nvalue = "event"\n'
    settings = load_settings(text, "a.toml")
    assert msgspec.json.decode(msgspec.json.encode(settings), type=Settings) == settings


def test_declared_measures_keep_the_other_half() -> None:
    """Measures alone keep the retail features, features alone the retail measures."""
    feature = '[[features]]\nname = "n"\nkind = "count"\nmeasure = "orders"\n'
    spec = load_settings(feature, "a.toml").spec
    assert spec.measures == RETAIL.measures
    assert spec.names == ("n",)


WRONG: list[tuple[str, str, Any]] = [
    ("", "namespace", ""), ("", "batch_bytes", 0),
    ("policy", "margin", -0.1), ("policy", "margin", 1), ("policy", "dwell_days", -1),
    ("policy", "min_events", 0), ("policy", "sweep_hours", 5),
    ("policy", "forget_after_days", 0), ("clock", "max_jump_days", 0),
    ("dead_letters", "max_share", 1.5), ("dead_letters", "max_share", -0.1),
    ("model", "k", 0), ("model", "k", 65), ("model", "starts", 0), ("model", "rate", 0),
    ("model", "rate", 1.5), ("model.gate", "gain", 1),
    ("model.gate", "gain", -0.1), ("model.gate", "churn", 1.5), ("model.drift", "psi_act", 0.01),
    ("model", "min_panel", 1), ("model", "panel_size", 99),
]  # fmt: skip


def toml(section: str, key: str, value: object) -> str:
    written = f'"{value}"' if isinstance(value, str) else str(value)
    return (f"[{section}]\n" if section else "") + f"{key} = {written}\n"


@pytest.mark.parametrize(("section", "key", "value"), WRONG)
def test_a_value_out_of_range(section: str, key: str, value: object) -> None:
    """It is refused with file, key, what was expected and what came."""
    name = f"{section}.{key}" if section else key
    with pytest.raises(ConfigError, match=rf"a\.toml: {name}: expected .*, got {value!r}"):
        load_settings(toml(section, key, value), "a.toml")


@pytest.mark.parametrize("section", ["", *SECTIONS])
def test_an_unknown_key(section: str) -> None:
    """A misspelt key is refused, not passed over, in every section."""
    with pytest.raises(ConfigError, match=r"a\.toml: .*`colour`"):
        load_settings(toml(section, "colour", "red"), "a.toml")


@pytest.mark.parametrize(
    ("section", "key"),
    [(s, f.name) for s, kind in SECTIONS.items() for f in msgspec.structs.fields(kind)],
)
def test_a_value_of_another_type(section: str, key: str) -> None:
    """A value of another type is refused with the path of its key."""
    with pytest.raises(ConfigError, match=rf"\$\.{section}\.{key}"):
        load_settings(toml(section, key, "[]").replace('"', ""), "a.toml")


def test_what_is_no_toml(tmp_path: Path) -> None:
    """A file that is no TOML, no text or not there is refused by its name."""
    path = tmp_path / "a.toml"
    path.write_text("[policy")
    with pytest.raises(ConfigError, match=r"a\.toml: expected TOML"):
        read_settings(path)
    path.write_bytes(b"\xff")
    for unreadable in (path, tmp_path, tmp_path / "none.toml"):
        with pytest.raises(ConfigError, match="expected a readable TOML file"):
            read_settings(unreadable)


@pytest.mark.parametrize("hours", SWEEP_HOURS)
def test_policy_in_the_units_of_the_kernel(hours: int) -> None:
    """Days and hours become what the kernel counts in; a sweep divides the day."""
    settings = load_settings(
        f"[policy]\ndwell_days = 0.5\nsweep_hours = {hours}\nforget_after_days = 10\n", "a.toml"
    )
    policy = policy_of(settings)
    assert policy.dwell_ms == 43_200_000
    assert policy.sweep_minutes == 60 * hours
    assert 24 % hours == 0
    assert policy.forget_hours == 240
