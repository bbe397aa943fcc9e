"""A shop that never was: customers of planted segments, planted drift, faults in known shares.

The files in the order of the path::

    plan ─► population (who, when) ─► arrivals (a day of events) ─► faults ─► lines ─► feed
"""

from segstream_producers.synthetic.feed import Counts, batches, generate, header, truth
from segstream_producers.synthetic.plan import DRIFTS, Behaviour, Drift, Faults, Plan

__all__ = [
    "DRIFTS", "Behaviour", "Counts", "Drift", "Faults", "Plan", "batches", "generate", "header",
    "truth",
]  # fmt: skip
