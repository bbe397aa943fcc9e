"""The models of a `segstream run` state, and commands to its trainer."""

import secrets
from contextlib import closing
from pathlib import Path

from segstream.adapters.sqlite_store import SqliteStore
from segstream.core.model import Model
from segstream.core.trainer_state import Command, changed
from segstream.ports import Batch, PanelBlock, Standing


class StateModels:
    """`segstream.ports.ModelHistory` of a state directory.

    Raises
    ------
    StateError
        There is no state.
    """

    _writer: type[SqliteStore] = SqliteStore

    def __init__(self, state: Path, spec_digest: str) -> None:
        self._state, self._digest = state, spec_digest
        self._reader = SqliteStore.to_read(state)

    def models(self) -> list[Model]:
        """See `segstream.ports.ModelHistory.models`."""
        return self._reader.models()

    def standing(self) -> Standing:
        """See `segstream.ports.ModelHistory.standing`."""
        held = self._reader.held()
        return Standing(held.trainer, held.meta.day)

    def give(self, command: Command) -> None:
        """Claim the state, and commit what its trainer knows with the command: all or nothing.

        Raises
        ------
        StateError
            A run has it: what a command may say depends on where it stands.
        """
        with closing(self._writer(self._state, self._digest, secrets.token_hex(16))) as store:
            held = store.claim()
            trainer = changed(held.trainer, commands=(*held.trainer.commands, command))
            store.commit(
                Batch(
                    epoch=held.epoch,
                    position=held.position,
                    meta=held.meta,
                    records=(),
                    ended=(),
                    # As it is: what a killed run has not published yet is published by the next.
                    outbox=held.outbox,
                    panel=PanelBlock(),
                    ledger=b"",
                    new_day=False,
                    trainer=trainer,
                    models=(),
                )
            )

    def close(self) -> None:
        """See `segstream.ports.ModelHistory.close`."""
        self._reader.close()
