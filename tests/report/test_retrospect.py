"""What the role `insights` says of the past is what a state directory says, with less to read."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.report.world import DAY_MS, EARLY, NASTY, NO_SPEND, START_MS, events, view_of

from segstream.adapters.insights_store import SegmentStore
from segstream.adapters.sqlite_store import SqliteStore
from segstream.core.changes import Change, rfc3339
from segstream.core.ledger import L_DAY, N_LEDGER
from segstream.core.spec import text_hash
from segstream.insights_partition import InsightsPartition, Log
from segstream.insights_past import Read, look_back
from segstream.report.facts import Summary, gather, to_json
from segstream.report.retrospect import Retrospect
from segstream.settings import Settings
from segstream.view import View

SHOP = Settings(namespace="shop", currency="USD", model=EARLY)
DAYS = 260
PARTITIONS = 3
RUN = 37


class Role:
    """A directory of the role, fed as from partitions."""

    def __init__(self, folder: Path, view: View) -> None:
        self.folder, self._view = folder, view
        log = Log("topic", 0, 10**9)
        self.parts = [InsightsPartition(view.settings, p, folder, log) for p in range(PARTITIONS)]
        self.segments = SegmentStore(folder, "changes")

    def read_all(self) -> None:
        """Read transactions in short runs, and every change."""
        for number, part in enumerate(self.parts):
            mine = [
                msgspec.json.encode(event)
                for event in events(DAYS)
                if text_hash(event.customer_id) % PARTITIONS == number
            ]
            for at in range(0, len(mine), RUN):
                run = mine[at : at + RUN]
                part.apply(run, [2**60] * len(run), at + len(run))
        lines = self._view._changes
        changes = [msgspec.json.decode(line, type=Change) for line in lines]
        for at in range(0, len(changes), RUN):
            self.segments.apply(0, changes[at : at + RUN], at + RUN)

    def read(self) -> Read:
        """What it would look back over now."""
        return Read(
            settings=self._view.settings,
            directory=self.folder,
            members={number: part.members() for number, part in enumerate(self.parts)},
            segments=self.segments.standings().segments,
            models=self._view.models,
            clock_ms=max(part.clock_ms for part in self.parts),
            first_ms=min(part.first_ms for part in self.parts),
        )

    def close(self) -> None:
        """Release the files."""
        for part in self.parts:
            part.close()
        self.segments.close()


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> View:
    """A shop of more than half a year, embedded."""
    return view_of(SHOP, tmp_path_factory.mktemp("embedded"), DAYS)


@pytest.fixture(scope="module")
def role(view: View, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Role]:
    made = Role(tmp_path_factory.mktemp("role"), view)
    with closing(made):
        made.read_all()
        yield made


@pytest.fixture(scope="module")
def told(view: View) -> Summary:
    """What the state directory says."""
    return gather(view, "household").summary


def test_it_says_what_the_state_says(view: View, role: Role, told: Summary) -> None:
    """Customers in another order, orders in other batches: the same figures, and sentences."""
    found = look_back(role.read())
    assert found.customers == told.customers
    sent = msgspec.json.decode(msgspec.json.encode(found), type=Retrospect)
    own = gather(view, "household", sent).summary
    assert to_json(own) == to_json(told)
    # And there is something to compare.
    assert {one.kind for one in told.aftermath} >= {"moved_up"}
    assert told.silence.spells > 0
    assert len(told.sentences) >= 2
    assert all(s.text.startswith("household ") for s in own.sentences)


def test_a_sample_says_so(role: Role, told: Summary) -> None:
    """Of more customers than are looked at: so many of them, the same each time, no leavers."""
    found = look_back(role.read(), most=12)
    assert found == look_back(role.read(), most=12)
    assert found.customers == 12
    assert found.leavers is None
    assert sum(one.changes for one in found.aftermath) <= sum(o.changes for o in told.aftermath)


def test_whoever_is_erased_is_gone(view: View, tmp_path: Path) -> None:
    """No change and no order of an erased customer stays in the files; the rest is looked at."""
    gone = NASTY[4]
    number = text_hash(gone) % PARTITIONS
    with closing(Role(tmp_path, view)) as role:
        role.read_all()
        rows = len(orders(tmp_path, number))
        before = look_back(role.read())
        *_, newest = events(DAYS)
        erase = {"event_id": "e", "customer_id": gone, "type": "erase", "ts": newest.ts}
        role.parts[number].apply([msgspec.json.encode(erase)], [2**60], 10**6)
        changes = [msgspec.json.decode(line, type=Change) for line in view._changes]
        change = next(c for c in changes if c.subject == gone)
        data = msgspec.structs.replace(change.data, reason="erased", to=None)
        role.segments.apply(0, [msgspec.structs.replace(change, data=data)], 10**6)
        assert look_back(role.read()).customers == before.customers - 1
    assert 0 < len(orders(tmp_path, number)) < rows
    assert gone.encode() not in (tmp_path / "segments.sqlite").read_bytes()


def test_what_is_too_old_is_dropped(view: View, tmp_path: Path) -> None:
    """Orders and changes before a day are not looked at any more."""
    with closing(Role(tmp_path, view)) as role:
        role.read_all()
        day = START_MS // DAY_MS + DAYS - 30
        for part in role.parts:
            part.prune(day, day)
        role.segments.prune(rfc3339(day * DAY_MS))
        kept = np.frombuffer(orders(tmp_path, 0), dtype=np.int64).reshape(-1, N_LEDGER)
        assert kept[:, L_DAY].min() >= day
        left = look_back(role.read())
    assert left.aftermath == ()  # eight weeks have not passed since any change
    assert left.customers == len(view.customers)


def test_without_a_measure_of_spend(tmp_path: Path) -> None:
    """Nothing says what was spent: nothing followed, and nobody is best."""
    view = view_of(NO_SPEND, tmp_path / "embedded", 60)
    with closing(Role(tmp_path / "role", view)) as role:
        found = look_back(role.read())
    assert found.aftermath == ()
    assert found.leavers is not None
    assert found.leavers.segment is None


def test_before_anything_was_read(view: View, tmp_path: Path) -> None:
    """An empty directory is looked back over too."""
    with closing(Role(tmp_path, view)) as role:
        found = look_back(role.read())
    assert found.customers == 0
    assert found.sentences == ()


def orders(folder: Path, number: int) -> bytes:
    """The ledger of a partition's directory."""
    with closing(SqliteStore.to_read(folder / f"partition-{number}")) as store:
        return store.ledger()
