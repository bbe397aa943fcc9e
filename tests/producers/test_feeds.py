"""`segstream-producers write`, and what `send` refuses before it meets a broker."""

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner, Result

from segstream.adapters.files import FileSource
from segstream.adapters.mapping_files import named_mapping
from segstream.adapters.memory import MemorySink, MemoryStore
from segstream.core.events import Event, epoch_ms, parse_json
from segstream.engine import Engine
from segstream.errors import BadEventError, SegstreamError
from segstream.ports import Chunk
from segstream.settings import Settings
from segstream_producers.cli import producers
from segstream_producers.pacing import Replayer, parse_speed
from segstream_producers.sender import Tally, messages_of

SharedData = Callable[[str], Path]
SYNTHETIC = ["--customers", "400", "--days", "120", "--seed", "9", "--late", "0.01",
             "--duplicates", "0.02", "--out-of-order", "0.05", "--bad", "0.01"]  # fmt: skip


def run(*arguments: object) -> Result:
    return CliRunner().invoke(producers, [str(one) for one in arguments])


def refusal(*arguments: object) -> str:
    """What a refused command says, on one line and without a traceback."""
    result = run(*arguments)
    assert result.exit_code != 0
    if isinstance(result.exception, SystemExit):
        return result.output
    assert isinstance(result.exception, SegstreamError)
    return str(result.exception)


def test_write_synthetic_twice(tmp_path: Path) -> None:
    """The same options write the same bytes, feed and truth."""
    for name in ("a", "b"):
        feed, truth = tmp_path / f"{name}.jsonl", tmp_path / f"{name}.truth"
        result = run("write", "synthetic", feed, *SYNTHETIC, "--truth", truth)
        assert result.exit_code == 0, result.exception
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert (tmp_path / "a.truth").read_bytes() == (tmp_path / "b.truth").read_bytes()
    counts = msgspec.json.decode((tmp_path / "a.truth").read_bytes().splitlines()[0])["counts"]
    assert f"{counts['lines']:,} lines" in result.output
    assert len((tmp_path / "a.jsonl").read_bytes().splitlines()) == counts["lines"]
    assert not list(tmp_path.glob("*.part*"))


@pytest.mark.slow
def test_the_product_takes_what_is_good(tmp_path: Path) -> None:
    """A run counts as many dead letters of each code as the truth file foretells, and no more."""
    feed, truth = tmp_path / "feed.jsonl", tmp_path / "feed.truth"
    assert run("write", "synthetic", feed, *SYNTHETIC, "--truth", truth).exit_code == 0
    told = msgspec.json.decode(truth.read_bytes().splitlines()[0])
    sink = MemorySink()
    with closing(FileSource([feed], named_mapping("plain"))) as source:
        Engine(Settings(currency="USD"), MemoryStore(), sink).run(source)
    letters = [msgspec.json.decode(body) for body in sink.dead_letters]
    wanted: Counter[str] = Counter()
    for kind, count in told["counts"]["bad"].items():
        wanted[told["bad_codes"][kind]] += count
    assert Counter(letter["code"] for letter in letters) == wanted


@pytest.mark.parametrize(
    ("name", "folder", "wanted"),
    [
        ("coupons-ecommerce", "coupons_ecommerce",
         {"coupon_claimed": 5000, "coupon_redeemed": 2516}),
        ("total-value", "total_value", {"purchase": 1000}),
        ("marketing-profile", "marketing_campaign", {"profile": 2240}),
        ("browse-sample", "browse_sample", None),
    ],
)  # fmt: skip
def test_write_tables(
    name: str, folder: str, wanted: dict[str, int] | None, shared_data: SharedData, tmp_path: Path
) -> None:
    """Tables become events of the contract by time; a redemption is one of its own."""
    path = tmp_path / "events.jsonl"
    result = run("write", name, path, "--from", shared_data(folder))
    assert result.exit_code == 0, result.exception
    found = [parse_json(line) for line in path.read_bytes().splitlines()]
    events = [event for event in found if isinstance(event, Event)]
    assert len(events) == len(found)
    times = [epoch_ms(event.ts) for event in events]
    assert times == sorted(times)
    kinds = Counter(str(event.type) for event in events)
    assert kinds == wanted if wanted else kinds.total() == 1000


def test_refusals_of_write(tmp_path: Path) -> None:
    """What cannot be written says what was expected and how to mend it."""
    path = tmp_path / "x.jsonl"
    assert "'nothing' is not one of" in refusal("write", "nothing", path)
    assert "--from with the folder" in refusal("write", "total-value", path)
    assert "expected Transactions.csv in" in refusal(
        "write", "total-value", path, "--from", tmp_path
    )
    assert "belongs to the feed" in refusal("write", "total-value", path, "--bad", 0.1)
    assert "together at most 1" in refusal("write", "synthetic", path, "--bad", 0.9, "--late", 0.9)
    assert "Name a path" in refusal("write", "synthetic", "/dev/null/x", "--customers", 2)
    assert not list(tmp_path.iterdir())


def test_refusals_of_send(tmp_path: Path) -> None:
    """A feed or option that makes no sense is refused before a broker is asked."""
    assert "Did you mean `complete-journey`" in refusal("send", "comlete-journey")
    assert "expected a number above 0" in refusal("send", "synthetic", "--speed", "fast")
    assert "exclude each other" in refusal("send", "synthetic", "--speed", "2x", "--rate", 3)
    assert "cannot --skip" in refusal("send", "synthetic", "--now", "--skip", 3)
    assert "neither --mapping" in refusal("send", "synthetic", "--mapping", "plain")
    wrong = tmp_path / "sales.csv"
    wrong.write_text("a,b\n1,2\n", "utf-8")
    assert "expected column" in refusal("send", wrong, "--mapping", "browse-sample")


def test_now_moves_times() -> None:
    """With a shift an event keeps its id and everything but its time."""
    payload = b'{"event_id":"1","customer_id":"c","ts":1000,"type":"visit","channel":"web"}'
    chunk = Chunk(0, [payload], [parse_json(payload)], ["x:1"])
    (message,) = messages_of(chunk, True, 10**13, Tally(), shift_ms=5_000)
    event = parse_json(message.value)
    assert not isinstance(event, BadEventError | None)
    assert (event.event_id, event.ts, event.channel) == ("1", 6_000, "web")
    assert message.timestamp_ms == 6_000


def test_replay_by_event_time() -> None:
    """At 3600x an hour of events takes a second."""
    replayer = Replayer(parse_speed("3600x"), first_ms=1_000_000, now_s=50.0)
    assert replayer.wait_s(1_000_000 + 3_600_000, 50.0) == pytest.approx(1.0)
    assert replayer.wait_s(1_000_000, 51.0) == 0.0
    assert replayer.reached_ms(51.0) == 1_000_000 + 3_600_000
    for text in ("0x", "-1", "nan", "infx"):
        with pytest.raises(ValueError, match=text.removesuffix("x")):
            parse_speed(text)


def test_every_feed_is_a_choice() -> None:
    """The named feeds of `write` are those of the documents."""
    write = producers.commands["write"]
    choice = next(one for one in write.params if one.name == "dataset")
    assert isinstance(choice.type, click.Choice)
    documents = (Path(__file__).parents[2] / "docs" / "producers.md").read_text("utf-8")
    for name in choice.type.choices:
        assert f"`{name}`" in documents
