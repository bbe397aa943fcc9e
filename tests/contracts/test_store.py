"""The contract of the `Store` port, on the twin and on SQLite."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.contracts.batches import SPEC, batch, everything, model, panel, waiting

from segstream.adapters.memory import MemoryStore
from segstream.adapters.sqlite_store import SqliteStore
from segstream.core.partition import StoredRecord
from segstream.errors import FencedError
from segstream.ports import Claim, Outbox, Position, Store

Again = Callable[[], Store]


@pytest.fixture(params=["memory", "sqlite"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Again]:
    """Open one and the same store, leaving what was opened before, as a restart does."""
    twin = MemoryStore()
    left: list[SqliteStore] = []

    def again() -> Store:
        if request.param == "memory":
            return twin
        while left:
            left.pop().close()
        left.append(SqliteStore(tmp_path / "state", SPEC.digest, "a token"))
        return left[0]

    yield again
    for store in left:
        store.close()


def held(store: Store) -> tuple[Claim, bytes]:
    """Claim, and all that the store holds."""
    claim = store.claim()
    return claim, everything(claim, list(store.records()), store.models())


def test_a_new_store_is_empty(opened: Again) -> None:
    """A new store holds the beginning of everything, under a token of its own."""
    store = opened()
    claim = store.claim()
    assert claim.position == Position()
    assert claim.outbox == Outbox()
    assert claim.panel == ()
    assert claim.trainer == type(claim.trainer)()
    assert claim.meta == type(claim.meta)()
    assert claim.token
    assert (list(store.records()), store.models()) == ([], [])


def test_every_claim_raises_the_epoch(opened: Again) -> None:
    """A claim's epoch is above every earlier one, also after reopening."""
    epochs = [opened().claim().epoch for _ in range(3)]
    store = opened()
    epochs += [store.claim().epoch, store.claim().epoch]
    assert epochs == sorted(set(epochs))


def test_a_commit_is_there_after_reopening(opened: Again) -> None:
    """What a batch says is what the next claim gives."""
    store = opened()
    claim = store.claim()
    first = batch(claim, 1, trainer=waiting("for more"), models=[model(1)])
    store.commit(first)
    store.commit(batch(claim, 2))
    again = opened()
    after = again.claim()
    expected = batch(claim, 2)
    assert (after.position, after.meta, after.outbox) == (
        expected.position, expected.meta, expected.outbox,
    )  # fmt: skip
    assert after.trainer == waiting("for more")
    assert after.token == claim.token
    assert after.panel == (panel(1), panel(2))
    assert again.models() == [model(1)]
    assert list(again.records()) == [
        StoredRecord(0, "everybody's", b"batch 2"),
        StoredRecord(1, "customer 1", b"\x01"),
        StoredRecord(2, "customer 2", b"\x02"),
    ]


def test_an_older_epoch_changes_nothing(opened: Again) -> None:
    """The commit of a claim that was overtaken is refused, and leaves no trace."""
    store = opened()
    old = store.claim()
    store.commit(batch(old, 1, models=[model(1)]))
    new, before = held(store)
    late = batch(old, 2, ended=[0], new_day=True, trainer=waiting("for nothing"), models=[model(2)])
    with pytest.raises(FencedError):
        store.commit(late)
    assert held(store)[1] == before
    store.commit(batch(store.claim(), 2))
    with pytest.raises(FencedError):
        store.commit(batch(new, 3))


def test_all_or_nothing(opened: Again) -> None:
    """A batch that cannot be written whole leaves the store as it was, and open."""
    store = opened()
    claim = store.claim()
    store.commit(batch(claim, 1))

    class BrokenError(Exception):
        """Something that must not happen in the middle of a batch."""

    class Records(list[StoredRecord]):
        """Breaks off after the first."""

        def __iter__(self) -> Iterator[StoredRecord]:
            yield StoredRecord(0, "everybody's", b"half a batch")
            raise BrokenError

    before = held(store)[1]
    with pytest.raises(BrokenError):
        store.commit(batch(store.claim(), 2, records=Records()))
    assert held(store)[1] == before
    last = store.claim()
    store.commit(batch(last, 2))
    assert [r.slot for r in store.records()] == [0, 1, 2]


def test_records_come_in_the_order_of_slots(opened: Again) -> None:
    """Records come by slot, whatever order they were written in."""
    store = opened()
    claim = store.claim()
    for n, slots in enumerate(([9, 3], [70_000, 1], [3, 8]), start=1):
        records = [StoredRecord(slot, f"customer {slot}", bytes([n])) for slot in slots]
        store.commit(batch(claim, n, records=records))
    assert [(r.slot, r.blob[0]) for r in opened().records()] == [
        (1, 2), (3, 3), (8, 3), (9, 1), (70_000, 2),
    ]  # fmt: skip


def test_any_customer_id(opened: Again) -> None:
    """Ids of any Unicode come back as they were, a null within them too."""
    store = opened()
    ids = ["dörte", "日本", "a\x00b", "\U0001f6d2", "'; DROP TABLE records; --", " ", "\ue000"]
    records = [StoredRecord(slot, name, b"") for slot, name in enumerate(ids)]
    store.commit(batch(store.claim(), 1, records=records))
    assert [r.customer_id for r in opened().records()] == ids


def test_ended_records_are_gone(opened: Again) -> None:
    """The slots a batch ends are not there any more; an unknown one is no error."""
    store = opened()
    claim = store.claim()
    store.commit(batch(claim, 1))
    store.commit(batch(claim, 2, records=[], ended=[0, 77]))
    assert [r.slot for r in opened().records()] == [1]


def test_a_new_day_drops_the_panel_before_it(opened: Again) -> None:
    """Panel blocks gather until a day begins; those of the batch that begins it stay."""
    store = opened()
    claim = store.claim()
    for n in (1, 2):
        store.commit(batch(claim, n))
    store.commit(batch(claim, 3, panel=type(panel(0))()))
    assert opened().claim().panel == (panel(1), panel(2))
    store = opened()
    store.commit(batch(store.claim(), 4, new_day=True))
    assert opened().claim().panel == (panel(4),)


def test_models_stay_in_order(opened: Again) -> None:
    """Every model ever made is kept, oldest first; a batch without a trainer keeps the last."""
    store = opened()
    claim = store.claim()
    store.commit(batch(claim, 1, models=[model(1), model(2)], trainer=waiting("one")))
    store.commit(batch(claim, 2))
    store.commit(batch(claim, 3, models=[model(10)]))
    again = opened()
    assert [m.number for m in again.models()] == [1, 2, 10]
    assert again.claim().trainer == waiting("one")


def test_the_outbox_is_that_of_the_last_batch(opened: Again) -> None:
    """A claim gives the last outbox with its bytes as they were."""
    store = opened()
    body = '{"name":"dörte \u2028"}'.encode()
    outbox = Outbox(7, (("dörte", body), ("dörte", body)), (b'{"payload":"\\u0000"}',))
    claim = store.claim()
    store.commit(batch(claim, 6))
    store.commit(batch(claim, 7, outbox=outbox))
    assert opened().claim().outbox == outbox
