"""Purchases in the store on SQLite: with their batch or not at all, gone with their customer."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from tests.contracts.batches import SPEC, batch
from tests.core.test_insights import block

from segstream.adapters.sqlite_store import SqliteStore
from segstream.core.events import Event
from segstream.core.purchase_blocks import decode_block
from segstream.core.purchases import DAY_MS
from segstream.errors import FencedError


def bought(who: int, day: int) -> bytes:
    """One line of one customer, in a city of his own."""
    event = Event(
        event_id=f"{who}-{day}", customer_id=str(who), ts=day * DAY_MS, type="purchase", amount=2.0,
        product_id=f"p{day}", city=f"city of {who}",
    )  # fmt: skip
    return block([event])


def opened(folder: Path) -> SqliteStore:
    return SqliteStore(folder, SPEC.digest, "token")


def test_purchases_stand_with_their_batch(tmp_path: Path) -> None:
    """What a refused batch bought is not there; what a committed one bought is, after a crash."""
    with closing(opened(tmp_path)) as store:
        claim = store.claim()
        store.commit(batch(claim, 1, purchases=bought(1, 1)))
        store.claim()
        with pytest.raises(FencedError):
            store.commit(batch(claim, 2, purchases=bought(2, 1)))
        assert store.purchases() == [bought(1, 1)]


def test_who_left_is_gone_from_the_file(tmp_path: Path) -> None:
    """Nothing of an erased customer is in the file after the store was closed."""
    with closing(opened(tmp_path)) as store:
        claim = store.claim()
        store.commit(batch(claim, 1, purchases=bought(1, 1)))
        store.commit(batch(claim, 2, purchases=bought(2, 1), ended=[1]))
    with closing(opened(tmp_path)) as store:
        rows = [decode_block(body) for body in store.purchases()]
        assert [one.orders["slot"].tolist() for one in rows] == [[2]]
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"city of 2" in files
    assert b"city of 1" not in files


def test_many_small_blocks_become_one(tmp_path: Path) -> None:
    """A feed that comes line by line does not leave a block for each; no row is lost."""
    with closing(opened(tmp_path)) as store:
        claim = store.claim()
        for n in range(1, 250):
            store.commit(batch(claim, n, purchases=bought(n % 7, n)))
        blocks = [decode_block(body) for body in store.purchases()]
        assert len(blocks) < 130
        days = np.concatenate([one.orders["day"] for one in blocks])
        assert sorted(days.tolist()) == list(range(1, 250))
        store.prune(200, 200)
        (left,) = [decode_block(body) for body in store.purchases()]
        assert sorted(left.orders["day"].tolist()) == list(range(200, 250))
        assert sorted(left.texts["city"]) == [f"city of {n}" for n in range(7)]
