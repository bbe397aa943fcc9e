"""The alert rules, as far as tests read them, without a YAML library."""

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
RULES: Final = ROOT / "deploy/prometheus/rules.yml"


def alerts() -> dict[str, str]:
    """Alert name to its rule's text."""
    _, *rules = re.split(r"^      - alert: ", RULES.read_text("utf-8"), flags=re.MULTILINE)
    return {rule.partition("\n")[0]: rule for rule in rules}


def expressions() -> list[str]:
    """Every alert's query."""
    found = [
        re.search(r"expr: (?:>-)?(.*?)\n        (?:for|labels):", rule, re.DOTALL)
        for rule in alerts().values()
    ]
    return [" ".join(one.group(1).split()) for one in found if one]
