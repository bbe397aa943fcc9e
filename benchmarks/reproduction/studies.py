"""The five studies by name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.reproduction import (
    cluster_cart,
    coupons,
    segment_explorer,
    smart_cart,
    total_value,
)
from benchmarks.reproduction.study import Study


@dataclass(frozen=True, slots=True)
class Source:
    """Where a study's data are, and the two steps from them to its figures."""

    file: Path
    recompute: Callable[[Path], Any]
    study: Callable[[Any], Study]

    def run(self) -> Study:
        """Recompute and lay out."""
        return self.study(self.recompute(self.file))


STUDIES: Final = {
    "cluster-cart": Source(cluster_cart.FILE, cluster_cart.recompute, cluster_cart.study),
    "smart-cart": Source(smart_cart.FILE, smart_cart.recompute, smart_cart.study),
    "segment-explorer": Source(
        segment_explorer.FILE, segment_explorer.recompute, segment_explorer.study
    ),
    "coupons": Source(coupons.FILE, coupons.recompute, coupons.study),
    "total-value": Source(total_value.FILE, total_value.recompute, total_value.study),
}
