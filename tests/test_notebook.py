"""The notebook from a batch K-Means to a stream runs as it is, and shows what it says."""

from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "notebooks" / "from-batch-to-stream.ipynb"


def read() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]


def test_it_is_kept_without_outputs() -> None:
    """Outputs are made, not kept: what is committed is the text and the code."""
    cells = [cell for cell in read().cells if cell.cell_type == "code"]
    assert len(cells) > 5
    for cell in cells:
        assert cell.outputs == []
        assert cell.execution_count is None


@pytest.mark.slow
# The kernel's client warns of its own event loop and of files it leaves to the collector.
@pytest.mark.filterwarnings("default")
def test_it_runs(tmp_path: Path) -> None:
    """Every cell runs, and the text around the figures holds."""
    notebook = read()
    client = nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    outputs = [
        output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    ]
    # Errors and warnings would be on stderr.
    assert [o.text for o in outputs if o.get("name") == "stderr"] == []
    printed = "".join(o.text for o in outputs if o.get("name") == "stdout")
    agreement = float(printed.split("same features: ")[1].split()[0])
    assert agreement > 0.8
    noticed, _, of = printed.split(" noticed")[0].splitlines()[-1].split()[:3]
    assert int(noticed) >= 0.9 * int(of)
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert "application/vnd.plotly.v1+json" in kinds
    assert "text/html" in kinds
