"""Cases of speed and size; each yields rows of the result file."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from benchmarks import synthetic
from benchmarks.feeds import COMPLETE_JOURNEY
from benchmarks.results import Row, row
from segstream.adapters.file_sink import FileSink
from segstream.adapters.files import FileSource
from segstream.adapters.mapping_files import named_mapping
from segstream.adapters.memory import MemorySink, MemoryStore
from segstream.adapters.sqlite_store import SqliteStore
from segstream.core.events import Event
from segstream.core.fitting import Scaling, assign, choose_k, fresh, quality_of
from segstream.core.partition import Partition
from segstream.core.refit import Asked, Frame, Gate
from segstream.engine import Engine
from segstream.fitter import ChildFitter
from segstream.main_job import Job, run_job
from segstream.ports import Position
from segstream.settings import Settings

RUNS: Final = 3
STREAM_RUNS: Final = 5
PLAIN: Final = "plain"
# Each customer orders so often a day, at every size: the sweep's share of the work is the same.
ORDERS_A_DAY: Final = 15.0
EVENTS: Final = 100_000
CUSTOMERS: Final = 20_000
MILLION: Final = 1_000_000
HOUR_MS: Final = 3_600_000
MINUTE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Timing:
    """Wall and CPU seconds of one run."""

    wall_s: float
    cpu_s: float


@dataclass(slots=True)
class Clock:
    """Times runs one by one."""

    timings: list[Timing] = field(default_factory=list)

    @contextmanager
    def run(self) -> Iterator[None]:
        """Time what happens within."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.timings.append(Timing(time.perf_counter() - wall, time.process_time() - cpu))

    def rates(self, n: float) -> list[float]:
        """`n` over the wall seconds of each run."""
        return [n / t.wall_s for t in self.timings]

    def cpu_rates(self, n: float) -> list[float]:
        """`n` over the CPU seconds of each run."""
        return [n / t.cpu_s for t in self.timings]


@dataclass(frozen=True, slots=True)
class Bed:
    """An engine on SQLite and files, its records in memory, ready for more events."""

    engine: Engine
    folder: Path
    customers: int


@contextmanager
def bed(customers: int, settings: Settings = synthetic.STEADY) -> Iterator[Bed]:
    """Fill a state directory with customers and claim it."""
    shapes = synthetic.population()
    with TemporaryDirectory(prefix="segstream-bench-") as name:
        folder = Path(name)
        store = SqliteStore(folder / "state", synthetic.spec_digest(), "bench")
        sink = FileSink(folder / "out")
        try:
            synthetic.fill(store, shapes, customers)
            yield Bed(Engine(settings, store, sink), folder, customers)
        finally:
            sink.close()
            store.close()


def next_orders(bed: Bed, n: int, run: int) -> synthetic.Orders:
    """Orders that follow on the bed's clock, as dense for each customer at every size."""
    days = n / bed.customers / ORDERS_A_DAY
    start_ms = bed.engine.partition.clock_ms + MINUTE_MS
    return synthetic.orders(n, bed.customers, start_ms, days, synthetic.SEED + run)


def apply_file(bed: Bed, path: Path) -> None:
    """Read a file of the plain mapping and apply it, to committed SQLite and written changes."""
    source = FileSource([path], named_mapping(PLAIN))
    try:
        bed.engine.run(source)
    finally:
        source.close()


def apply_orders(bed: Bed, n: int, run: int) -> None:
    """Write orders that follow to a file and apply it."""
    path = bed.folder / "orders.jsonl"
    synthetic.write_lines(path, next_orders(bed, n, run), f"o{run}")
    apply_file(bed, path)
    path.unlink()


def in_process(customers: int, target: float, case: str) -> Iterator[Row]:
    """Events a second from JSON lines on disk to committed records and written changes."""
    clock, shares = Clock(), []
    for run in range(STREAM_RUNS):
        # A bed of its own: on one bed all are heavy buyers after a run, and hardly anybody changes.
        with bed(customers) as ready:
            apply_orders(ready, EVENTS // 10, 2 * run)  # compiles and warms
            before = ready.engine.changes_written
            path = ready.folder / "events.jsonl"
            synthetic.write_lines(path, next_orders(ready, EVENTS, 2 * run + 1), f"r{run}")
            with clock.run():
                apply_file(ready, path)
            shares.append((ready.engine.changes_written - before) / EVENTS)
    yield row(case, "events_per_s", clock.rates(EVENTS), target, "higher")
    yield row(case, "events_per_cpu_s", clock.cpu_rates(EVENTS), None, "higher")
    yield row(case, "changes_per_event", shares, None, "lower")


BATCH: Final = 10_000
BATCHES: Final = 12
WARM_BATCHES: Final = 2
SPREAD: Final = 1.25


def cpu_per_record(customers: int) -> list[float]:
    """CPU microseconds per distinct record of each batch; every event is another customer's."""
    spent = []
    generator = np.random.default_rng(synthetic.SEED)
    with bed(customers, synthetic.SETTLED) as ready:
        engine = ready.engine
        for number in range(WARM_BATCHES + BATCHES):
            who = generator.permutation(customers)[:BATCH]
            found = synthetic.orders(BATCH, customers, engine.partition.clock_ms, 1e-6, number)
            found = synthetic.Orders(who, found.time_ms, found.amount, found.units)
            path = ready.folder / "batch.jsonl"
            synthetic.write_lines(path, found, f"b{number}")
            source = FileSource([path], named_mapping(PLAIN))
            before = time.process_time()
            chunk = source.read(0, 1 << 30)
            assert chunk is not None
            engine.apply(chunk, Position())
            spent.append(1e6 * (time.process_time() - before) / BATCH)
            source.close()
    return spent[WARM_BATCHES:]


def cpu_per_event() -> Iterator[Row]:
    """Whether a record costs the same among ten thousand and among a million."""
    first: float | None = None
    for customers in (10_000, 100_000, MILLION):
        runs = cpu_per_record(customers)
        target = None if first is None else SPREAD * first
        first = median(runs) if first is None else first
        yield row(f"cpu_per_event/{customers}", "cpu_us_per_record", runs, target, "lower")


def small_and_large() -> Iterator[Row]:
    """Both sizes of the in-process path."""
    yield from in_process(CUSTOMERS, 120_000.0, "in_process")
    yield from in_process(MILLION, 40_000.0, f"in_process/{MILLION}")


def loaded(customers: int) -> Partition:
    """A partition of the synthetic population, in memory only."""
    store = MemoryStore()
    synthetic.fill(store, synthetic.population(), customers)
    return Engine(synthetic.STEADY, store, MemorySink()).partition


SWEPT_HOURS: Final = 24


def sweep() -> Iterator[Row]:
    """Customers evaluated a second as only time passes: vector, assignment, decision."""
    partition = loaded(CUSTOMERS)
    clock, rates = Clock(), []
    until = partition.clock_minute
    for _ in range(RUNS + 1):
        until += SWEPT_HOURS * 60
        before = partition.evaluations
        with clock.run():
            while not partition.run(until):
                partition.open_day()
        rates.append((partition.evaluations - before) / clock.timings[-1].wall_s)
        partition.take()
    yield row("sweep", "customers_per_s", rates[1:], 1_000_000.0, "higher")


def complete_journey() -> Iterator[Row]:
    """Seconds for a year of baskets with hourly sweeps, into a new state, by the main job."""
    clock = Clock()
    if not COMPLETE_JOURNEY.present():
        raise FileNotFoundError(COMPLETE_JOURNEY.path)
    for _ in range(RUNS):
        with TemporaryDirectory(prefix="segstream-bench-") as name:
            job = Job(
                (str(COMPLETE_JOURNEY.path),),
                COMPLETE_JOURNEY.mapping,
                Settings(),
                Path(name) / "state",
                Path(name) / "out",
            )
            with clock.run():
                run_job(job, lambda _total, _done: None, lambda _progress: None)
    yield row("complete_journey", "seconds", [t.wall_s for t in clock.timings], 60.0, "lower")


MEASURED: Final = 100


def bytes_per_customer() -> Iterator[Row]:
    """Payload of a record by how many days of the window had an order."""
    for days, target in ((1, None), (10, 450.0), (50, None)):
        case = f"bytes_per_customer/{days}"
        yield row(case, "bytes", _payloads(days), target, "lower")


def _payloads(days: int) -> list[float]:
    """Bytes of records with one order on each of so many days, two months apart at most.

    A late visit comes last: it takes the forgotten ids out and stays out of the memory itself.
    """
    store = MemoryStore()
    engine = Engine(synthetic.STEADY, store, MemorySink())
    generator = np.random.default_rng(synthetic.SEED)
    shape = (MEASURED, days)
    chosen = np.array([generator.permutation(80)[:days] for _ in range(MEASURED)])
    hours = generator.integers(8, 20, shape)
    time_ms = (synthetic.START_MS + chosen * synthetic.DAY_MS + hours * HOUR_MS).ravel()
    who = np.repeat(np.arange(MEASURED), days)
    amount = np.round(generator.lognormal(3.0, 0.7, len(who)), 2)
    units = 1 + generator.poisson(5.0, len(who))
    order = np.argsort(time_ms, kind="stable")
    found = synthetic.Orders(who[order], time_ms[order], amount[order], units[order])
    end_ms = synthetic.START_MS + 85 * synthetic.DAY_MS
    closing = [
        Event("clock", "somebody-else", end_ms, "visit"),
        *(
            Event(f"late-{i}", synthetic.customer_id(i), end_ms - 3 * synthetic.DAY_MS, "visit")
            for i in range(MEASURED)
        ),
    ]
    events = [*synthetic.events(found, "s"), *closing]
    engine.run(synthetic.replay_of(events, "sizes"))
    sizes = [len(r.blob) for r in store.records() if r.customer_id != "somebody-else"]
    return [float(size) for size in sizes]


REFIT_ROWS, REFIT_FEATURES = 50_000, 12


def refit() -> Iterator[Row]:
    """Seconds to choose k from 2 to 10, ten starts each, and to score the choice; one thread."""
    clock = Clock()
    for run in range(RUNS):
        vectors = _overlapping(run)
        with clock.run():
            k, _ = choose_k(vectors, 10, run)
            quality_of(vectors, fresh(vectors, k, 10, run), run)
    yield row("refit", "seconds", [t.wall_s for t in clock.timings], 30.0, "lower")


def refit_beside() -> Iterator[Row]:
    """Speed of the stream while a large panel is fitted in the process beside it, over its own."""
    vectors = _overlapping(0)
    width = np.zeros(REFIT_FEATURES)
    asked = Asked(
        Frame.of(Scaling(width, width + 1.0, width, ())), vectors.tobytes(),
        vectors[:6].tobytes(), assign(vectors[:6].copy(), vectors).labels.tobytes(), day=0,
        trigger="command", k=6, chooses_k=True, starts=10, seed=7, gate=Gate(),
    )  # fmt: skip
    alone, beside = Clock(), Clock()
    seconds = []
    with bed(CUSTOMERS) as ready, closing(ChildFitter()) as fitter:
        for run in range(1 + 2 * RUNS):
            path = ready.folder / f"events-{run}.jsonl"
            synthetic.write_lines(path, next_orders(ready, EVENTS, run), f"b{run}")
            fits = run > 0 and run % 2 == 0
            began = time.perf_counter()
            if fits:
                fitter.begin(asked)
            with (beside if fits else alone).run():
                apply_file(ready, path)
            if fits:
                fitter.result(asked)
                seconds.append(time.perf_counter() - began)
            path.unlink()
    del alone.timings[0]
    yield row("refit/beside", "seconds", seconds, 30.0, "lower")
    ratio = median(beside.rates(EVENTS)) / median(alone.rates(EVENTS))
    yield row("refit/stream_beside", "ratio", [ratio], 0.8, "higher")


def _overlapping(seed: int) -> "np.typing.NDArray[np.float64]":
    """Groups that run into each other: K-Means needs many iterations."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(0.0, 0.4, (6, REFIT_FEATURES))
    members = generator.integers(0, len(centres), REFIT_ROWS)
    return centres[members] + generator.normal(0.0, 1.0, (REFIT_ROWS, REFIT_FEATURES))


CASES: Final[dict[str, Callable[[], Iterator[Row]]]] = {
    "in_process": small_and_large,
    "cpu_per_event": cpu_per_event,
    "sweep": sweep,
    "complete_journey": complete_journey,
    "bytes_per_customer": bytes_per_customer,
    "refit": refit,
    "refit_beside": refit_beside,
}
