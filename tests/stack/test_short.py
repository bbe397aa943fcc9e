"""docker-compose.yml's roles together: started, fed, watched; `make stack-test` hurts them too."""

from pathlib import Path
from typing import Final

import pytest
from deploy.local.process import MissingError
from tests.needed import lacking
from tests.stack.report import faults, report
from tests.stack.scenario import Plan, run

# Drift is judged once the longest window has passed twice: 224 days.
PLAN: Final = Plan(rate=1_500, seconds=10, days=290, workers=1, hurts=())


@pytest.mark.slow
def test_the_whole(tmp_path: Path) -> None:
    """Every role gets healthy, every panel, alert and metric has data, the audit agrees.

    The commands, environments and configuration files are those of docker-compose.yml.
    """
    said: list[str] = []
    try:
        found = run(tmp_path, PLAN, said.append)
    except MissingError as error:
        lacking(str(error))
    print(*said, *report(found, PLAN), sep="\n")
    assert faults(found, PLAN) == []
