"""`segstream playbook`: a copy to edit, and a check before it is used."""

import json
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner
from tests.cli import feeds
from tests.cli.commands import Place, segstream, small_batches, told

from segstream.cli import segstream as commands

SHOP: Final = """
[[template]]
name = "Shop regulars"
when = [{ feature = "orders_112d", ratio_at_least = 1.0 }]
strategy = "Keep them."
actions = ["Say thanks."]
"""


def ask(*arguments: object) -> str:
    """What a command prints, run in this process."""
    done = CliRunner().invoke(commands, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_what_is_shown_can_be_checked(tmp_path: Path) -> None:
    """A copy of the shipped playbook is a playbook; the retail features use seven templates."""
    copy = tmp_path / "shop.toml"
    copy.write_text(ask("playbook", "show"), "utf-8")
    printed = ask("playbook", "check", copy)
    assert "Steady middle: used\n  frequency at least 0.7 times all customers" in printed
    assert "VIP: not used, no income\n" in printed
    assert printed.endswith("fine: 7 of 24 templates can be used with these features\n")
    found = json.loads(ask("playbook", "check", "retail", "--json"))["templates"]
    assert sum(not template["missing"] for template in found) == 7


def test_the_settings_name_the_playbook(tmp_path: Path) -> None:
    """`show --config` prints the one that a run would use."""
    (tmp_path / "shop.toml").write_text(SHOP)
    config = tmp_path / "segstream.toml"
    config.write_text(f'playbook = "{tmp_path / "shop.toml"}"\n')
    assert ask("playbook", "show", "--config", config) == SHOP


@pytest.mark.slow
def test_an_unusable_playbook_stops_a_command(tmp_path: Path) -> None:
    """One clear line with template and remedy, exit code 3."""
    (tmp_path / "shop.toml").write_text(SHOP.replace("orders_112d", "orders_112"))
    ended = segstream("playbook", "check", tmp_path / "shop.toml")
    assert ended.code == 3
    assert "template `Shop regulars`: expected a role or a feature" in told(ended)
    assert "Did you mean `orders_112d`?" in told(ended)


@pytest.mark.slow
def test_a_run_with_an_unusable_playbook_does_not_begin(place: Place) -> None:
    """It is refused before there is a state, by `run` as by `doctor`."""
    config = place.folder / "segstream.toml"
    config.write_text('playbook = "nowhere.toml"\n')
    feed = feeds.write(place.folder / "feed.jsonl", feeds.lines(feeds.events(2, 2)))
    for command in (("run", *place.options), ("doctor", "--state", place.state)):
        ended = segstream(*command, "--source", feed, "--config", config)
        assert ended.code == 3
        assert "expected a readable playbook file" in told(ended)
    assert not place.state.exists()


@pytest.mark.slow
def test_a_run_names_segments_by_the_playbook(place: Place) -> None:
    """Names, strategy and actions of a run are those of the file that its settings name."""
    path = place.folder / "shop.toml"
    path.write_text(SHOP)
    feed = feeds.write(place.folder / "feed.jsonl", feeds.lines(feeds.events(150, 150)))
    place.stream(feed, settings=small_batches(playbook=str(path)))
    model = place.result()["models"][-1]  # type: ignore[index]
    segment = next(s for s in model.segments if s.name == "Shop regulars")
    assert (segment.strategy, segment.actions) == ("Keep them.", ("Say thanks.",))
