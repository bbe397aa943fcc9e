"""The main job in one process: a source, a partition, a trainer, a store and a sink.

Claim, at the start:
  1. the store gives what it holds and raises the epoch: nobody else can commit from here on
  2. the sink settles what was half written
  3. if the outbox is newer than what the sink has, publish it
  4. load the records, and seek the source to the stored position

Batch n:
  1. read entries from the position on
  2. fold, evaluate, decide: pure
  3. stop if too many entries are dead letters
  4. commit records, totals, position and outbox in one atomic write
  5. publish the outbox

A crash before 4 leaves batch n undone and it is read again; a crash between 4 and 5, or inside 5,
is settled by the next claim. Nothing is lost and nothing stands twice.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from segstream.adapters.playbook_files import named_playbook
from segstream.core.changes import ChangeEncoder
from segstream.core.columns import ColumnBuilder
from segstream.core.dead_letters import Code, DeadLetterWatch
from segstream.core.model import Model, check_model
from segstream.core.open_panel import OpenPanel, panel_rows
from segstream.core.partition import DeadLetter, Partition, Taken
from segstream.core.purchase_blocks import encode_block
from segstream.core.trainer import Trainer
from segstream.core.trainer_state import TrainerState
from segstream.errors import StateError
from segstream.fitter import Fitter, InlineFitter
from segstream.ports import Batch, Chunk, Outbox, PanelBlock, Position, Sink, Source, Store
from segstream.settings import Settings, compile_spec, policy_of


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands, after a batch.

    Attributes
    ----------
    entries
        Applied of the source so far, earlier runs included.
    clock_ms
        Event time, epoch ms.
    """

    entries: int
    clock_ms: int
    customers: int
    segments: int
    changes: int
    waiting: str


def _ignore(_progress: Progress) -> None:
    return


class Engine:
    """Applies sources to a store and publishes to a sink; see the module for the order.

    Parameters
    ----------
    fixed_model
        A model to use from the start and keep; no trainer then.
    fitter
        Where refit checks are computed; here, where absent.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        sink: Sink,
        fixed_model: Model | None = None,
        fitter: Fitter | None = None,
    ) -> None:
        self.settings = settings
        self.spec = compile_spec(settings)
        self._store, self._sink = store, sink
        self.trainer = Trainer(
            self.spec, settings.model, named_playbook(settings.playbook, self.spec)
        )
        self._fixed = fixed_model
        self._fitter = fitter or InlineFitter()
        self._unstored: list[Model] = []
        self.partition: Partition
        self.trainer_state: TrainerState
        self.changes_written = 0
        self._new_models: list[Model] = []
        self._new_day = False
        self._claim()

    def _claim(self) -> None:
        claim = self._store.claim()  # 1
        published = self._sink.claim(claim.token)  # 2
        if claim.outbox.n < published:
            raise StateError(
                f"state: expected batch {published}, which the output already has, got "
                f"{claim.outbox.n}: the state is older than the output. Restore the newer state, "
                "or start anew with empty --state and --out"
            )
        if claim.outbox.n > published + 1:
            raise StateError(
                f"state: expected an output up to batch {claim.outbox.n - 1} at least, got one up "
                f"to {published}: what was published before is not there. Give the --out it was "
                "made with, or start anew with empty --state and --out"
            )
        if claim.outbox.n > published:  # 3
            self._sink.publish(claim.outbox)
        self.partition = self._new_partition(claim.token)
        self.trainer_state = claim.trainer
        model = self._first_model(claim.trainer)
        self.partition.load(claim.meta, model, self._store.records())  # 4
        self.partition.set_panel_bits(claim.trainer.panel_bits)
        self._epoch, self._n = claim.epoch, claim.outbox.n
        self.position = claim.position
        n_features = self.spec.n_features
        self._panel = OpenPanel([panel_rows(b.keys, b.raw, n_features) for b in claim.panel])
        limit = self.settings.dead_letters.max_share
        self._watch = DeadLetterWatch(limit, claim.position.dead_flags)

    def _first_model(self, state: TrainerState) -> Model | None:
        stored = self._store.models()
        if self._fixed is None:
            if stored and state.model is None:
                raise StateError(
                    "state: expected the --model this state keeps to, got none; give it again, or "
                    "choose a new --state directory"
                )
            return state.model
        check_model(self._fixed, self.spec)
        if not stored:
            self._unstored = [self._fixed]
        elif msgspec.json.encode(stored[-1]) != msgspec.json.encode(self._fixed):
            raise StateError(
                f"state: expected --model to be the one of this state ({stored[-1].version}), got "
                f"another ({self._fixed.version}); choose a new --state directory for it"
            )
        return self._fixed

    def _new_partition(self, token: str) -> Partition:
        settings = self.settings
        builder = ColumnBuilder(
            self.spec, settings.currency or None, round(settings.clock.max_jump_days * 86_400_000)
        )
        encoder = ChangeEncoder(settings.namespace, self.spec.spec.names)
        return Partition(self.spec, policy_of(settings), builder, encoder, token.encode())

    # ---- inputs ------------------------------------------------------------------------

    def begin(self, source: Source) -> None:
        """Make `source` the input, or go on with it.

        Raises
        ------
        StateError
            Another input was begun and is not finished.
        SourceError
            What was applied of it is not what is there now.
        """
        position = self.position
        if position.source not in ("", source.identity):
            raise StateError(
                f"state: expected the input that was begun and stopped after {position.entries} "
                "entries, got another; give the same --source and --mapping to finish it, or "
                "choose a new --state directory"
            )
        if not position.source:
            self.position = Position(source.identity, 0, "", position.finished)
        elif position.entries:
            source.verify(position.entries, position.digest)

    def run(
        self,
        source: Source,
        report: Callable[[Progress], None] = _ignore,
        finishes: Sequence[str] = (),
    ) -> None:
        """Apply a source from the stored position to its end.

        Parameters
        ----------
        finishes
            Digests of the files that are wholly applied then.
        """
        self.begin(source)
        while True:
            chunk = source.read(self.position.entries, self.settings.batch_bytes)  # 1
            if chunk is None:
                break
            entries = chunk.position + len(chunk.payloads)
            position = msgspec.structs.replace(
                self.position, entries=entries, digest=source.digest_at(entries)
            )
            self.apply(chunk, position)
            report(self.progress())
        finished = (*self.position.finished, *finishes)
        self._store_batch(None, Position("", 0, "", finished))

    def apply(self, chunk: Chunk, position: Position) -> None:
        """Apply one batch: steps 2 to 5."""
        self._fold(chunk)  # 2
        self._store_batch(chunk, position)

    def _fold(self, chunk: Chunk) -> None:
        self.partition.stage(chunk.parsed)
        self._new_models, self._unstored = self._unstored, []
        self._new_day = False
        while not self.partition.run():
            self._close_day()

    def _close_day(self) -> None:
        """Step the trainer with the day that closed, and adopt what it made."""
        rows = self._panel.close(self.partition)
        self._new_day = True
        if self._fixed is None:
            before = self.trainer_state.model
            self.trainer_state = self.trainer.close_day(
                self._settled(), self.partition.day_totals(), rows, self.partition.first_ms
            )
            if self.trainer_state.asked is not None:
                self._fitter.begin(self.trainer_state.asked)
            model = self.trainer_state.model
            if model is not None and model is not before:
                self.partition.adopt(model)
                self._new_models.append(model)
            self.partition.set_panel_bits(self.trainer_state.panel_bits)
        self.partition.open_day()

    def _settled(self) -> TrainerState:
        """Give the trainer the answer to what it asked for a day ago."""
        state = self.trainer_state
        if state.asked is None:
            return state
        return self.trainer.settle(state, self._fitter.result(state.asked))

    def _store_batch(self, chunk: Chunk | None, position: Position) -> None:
        if chunk is None:
            self._new_models, self._new_day = [], False
        purchases = self._bought()
        taken = self.partition.take()
        if chunk is not None:
            self._watch.check([d.index for d in taken.dead], len(chunk.payloads))  # 3
        position = msgspec.structs.replace(position, dead_flags=self._watch.flags)
        outbox = Outbox(self._n + 1, tuple(taken.changes), _dead_lines(taken.dead, chunk))
        self._store.commit(self._batch(taken, position, outbox, purchases))  # 4
        self._n, self.position = outbox.n, position
        self.changes_written += len(taken.changes)
        self._sink.publish(outbox)  # 5

    def _bought(self) -> bytes:
        """What the batch's customers bought, for insights."""
        return encode_block(self.partition.purchases()) if self.settings.insights.enabled else b""

    def _batch(self, taken: Taken, position: Position, outbox: Outbox, purchases: bytes) -> Batch:
        panel, anew = self._panel.store(taken)
        return Batch(
            epoch=self._epoch,
            position=position,
            meta=taken.meta,
            records=taken.records,
            ended=taken.ended,
            outbox=outbox,
            panel=PanelBlock(panel.keys.tobytes(), panel.raw.tobytes()),
            ledger=taken.ledger.tobytes(),
            new_day=self._new_day or anew,
            trainer=self.trainer_state if self._new_day else None,
            models=self._new_models,
            purchases=purchases,
        )

    def progress(self) -> Progress:
        """Where the run stands."""
        model = self.partition.model
        return Progress(
            self.position.entries,
            self.partition.clock_ms,
            self.partition.customers,
            len(model.segments) if model else 0,
            self.changes_written,
            self.trainer_state.waiting if model is None else "",
        )


class DeadLetterLine(msgspec.Struct, omit_defaults=True):
    """One line of dead-letters.jsonl.

    Attributes
    ----------
    place
        Where the entry stands in its source.
    payload, payload_base64
        The original bytes, as text where they are UTF-8.
    """

    code: Code
    message: str
    place: str
    payload: str | None = None
    payload_base64: str | None = None


def _dead_lines(dead: Sequence[DeadLetter], chunk: Chunk | None) -> tuple[bytes, ...]:
    if chunk is None:
        return ()
    lines = []
    for letter in dead:
        payload = chunk.payloads[letter.index]
        line = DeadLetterLine(letter.code, letter.message, chunk.places[letter.index])
        try:
            line.payload = payload.decode()
        except UnicodeDecodeError:
            line.payload_base64 = base64.b64encode(payload).decode()
        lines.append(msgspec.json.encode(line))
    return tuple(lines)
