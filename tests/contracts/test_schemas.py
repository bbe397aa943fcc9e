"""The contracts against the released schemas in docs/schemas, and what would break them.

`python -m tests.contracts.test_schemas` writes the released schemas anew, where nothing breaks.
"""

import copy
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import jsonschema
import msgspec
import pytest
from tests.contracts.compatibility import breaks

from segstream.contracts import BY_NAME, CONTRACTS, Contract, json_schema

ROOT: Final = Path(__file__).resolve().parents[2]
RELEASED: Final = ROOT / "docs" / "schemas"
REMEDY: Final = "`python -m tests.contracts.test_schemas` writes it, where nothing breaks"
each_contract = pytest.mark.parametrize("contract", CONTRACTS, ids=lambda one: one.name)


class BreaksError(Exception):
    """A schema must not take the place of the released one."""


def released(contract: Contract) -> dict[str, Any]:
    """The schema as it was released."""
    path = RELEASED / contract.file_name
    assert path.exists(), f"no {path.name}; {REMEDY}"
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def release(contract: Contract, folder: Path) -> None:
    """Write a schema, unless it breaks whoever relies on the one that is there."""
    path, schema = folder / contract.file_name, json_schema(contract)
    if path.exists():
        broken = breaks(json.loads(path.read_bytes()), schema, contract.direction)
        if broken:
            raise BreaksError(
                f"{path.name}: expected what old readers and writers can go on with, got\n  "
                + "\n  ".join(broken)
                + f"\nchange the type back, or make it version {contract.version + 1} of the"
                " contract and keep both files"
            )
    path.write_text(json.dumps(schema, indent=1, ensure_ascii=False) + "\n", "utf-8")


@each_contract
def test_nothing_breaks(contract: Contract) -> None:
    """The code's own type fits whoever knows the released schema."""
    assert breaks(released(contract), json_schema(contract), contract.direction) == []


@each_contract
def test_released_schemas_are_the_codes(contract: Contract) -> None:
    """What is released is what the code reads and writes today."""
    assert released(contract) == json_schema(contract), REMEDY


@each_contract
def test_schemas_are_schemas(contract: Contract) -> None:
    """Each is valid JSON Schema."""
    jsonschema.Draft202012Validator.check_schema(json_schema(contract))


def test_every_version_is_kept() -> None:
    """The folder holds each contract's versions from 1 on, and nothing else."""
    wanted = {f"{one.name}.v{n}.json" for one in CONTRACTS for n in range(1, one.version + 1)}
    assert {path.name for path in RELEASED.glob("*.json")} == wanted


# ---- the comparison itself -------------------------------------------------------------


def changed(name: str, **edits: Any) -> list[str]:
    """Breaks of a contract whose schema is edited: `path__to__key=value`, None to delete it."""
    before = json_schema(BY_NAME[name])
    after = copy.deepcopy(before)
    for path, value in edits.items():
        *steps, last = path.split("__")
        node = after["$defs"]
        for step in steps:
            node = node[step]
        if value is None:
            del node[last]
        else:
            node[last] = value
    return breaks(before, after, BY_NAME[name].direction)


def without(name: str, of: str) -> list[str]:
    """Required fields of a type but one."""
    given = json_schema(BY_NAME[name])["$defs"]
    kind = next(one for one in given.values() if of in one.get("properties", {}))
    return [field for field in kind["required"] if field != of]


BROKEN: Final[dict[str, tuple[str, dict[str, Any], str]]] = {
    "a field of an output is gone": (
        "change",
        {"ChangeData__properties__reason": None,
         "ChangeData__required": without("change", "reason")},
        "$.data.reason: removed",
    ),
    "a field of an output has another type": (
        "change", {"ChangeData__properties__sequence": {"type": "string"}},
        "$.data.sequence: ['string'] against ['integer']",
    ),
    "a whole number of an output may have decimals": (
        "change", {"ChangeData__properties__sequence": {"type": "number"}},
        "$.data.sequence: ['number'] against ['integer']",
    ),
    "a field of an output may be null": (
        "change",
        {"ChangeData__properties__model": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
        "$.data.model: ['null'] against ['string']",
    ),
    "a field of an output may be missing": (
        "change", {"ChangeData__required": without("change", "reason")}, "$.data.reason: required",
    ),
    "a field of an output is newly required": (
        "change",
        {"ChangeData__properties__why": {"type": "string"},
         "ChangeData__required": [*without("change", "reason"), "reason", "why"]},
        "$.data.why: required (messages that are there)",
    ),
    "an enumeration of an output has a value more": (
        "change", {"ChangeData__properties__direction__enum": ["down", "level", "odd", "up"]},
        "$.data.direction: ['odd'] is none of",
    ),
    "an item of a list of an output loses a field": (
        "change",
        {"Driver__properties__value": None, "Driver__required": without("change", "value")},
        "$.data.drivers[].value: removed",
    ),
    "a field of an input is newly required": (
        "event", {"Event__required": ["event_id", "customer_id", "ts", "type", "channel"]},
        "$.channel: required (messages that are there)",
    ),
    "a type of an input is narrower": (
        "event", {"Event__properties__quantity__type": "integer"},
        "$.quantity: ['number'] against ['integer']",
    ),
    "a bound of an input is narrower": (
        "event", {"Event__properties__customer_id__maxLength": 64},
        "$.customer_id: maxLength 1024 against 64",
    ),
    "an input no longer takes one of two types": (
        "event", {"Event__properties__ts": {"type": "string", "format": "date-time"}},
        "$.ts: ['integer'] against ['string']",
    ),
    "an enumeration of an input lacks a value": (
        "event", {"Event__properties__type__enum": ["purchase", "return"]}, "$.type: [",
    ),
    "a field of an input is no longer read": (
        "event", {"Event__properties__coupon_id": None}, "$.coupon_id: removed",
    ),
    "an input refuses fields it does not know": (
        "event", {"Event__additionalProperties": False}, "$: further fields are refused",
    ),
    "an item of a list has another type": (
        "evidence-totals", {"DayTotals__properties__counts__items": {"type": "number"}},
        "$.counts[]: ['number'] against ['integer']",
    ),
}  # fmt: skip
FINE: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "an output has an optional field more": (
        "change", {"ChangeData__properties__why": {"type": "string"}},
    ),
    "an input has an optional field more": (
        "event", {"Event__properties__store": {"type": "string"}},
    ),
    "an input has a type more": (
        "event", {"Event__properties__type__enum": [
            "campaign_response", "coupon_claimed", "coupon_redeemed", "erase", "merge", "profile",
            "purchase", "return", "visit", "wish"]},
    ),
    "a bound of an input is wider": ("event", {"Event__properties__customer_id__maxLength": 4096}),
    "a field of an input is no longer required": ("event", {"Event__required": ["event_id"]}),
    "words are other words": ("change", {"Change__description": "Another sentence."}),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_break_is_found(case: str) -> None:
    """Each change that breaks somebody is named with its place."""
    name, edits, wanted = BROKEN[case]
    assert any(line.startswith(wanted) for line in changed(name, **edits)), changed(name, **edits)


@pytest.mark.parametrize("case", FINE)
def test_what_breaks_nobody_passes(case: str) -> None:
    """A change that nobody can notice is none."""
    name, edits = FINE[case]
    assert changed(name, **edits) == []


def test_an_unknown_keyword_is_no_pass() -> None:
    """What the comparison does not understand it does not wave through."""
    with pytest.raises(AssertionError, match="does not know"):
        changed("change", ChangeData__properties__model={"type": "string", "not": {}})


class Told(msgspec.Struct):
    """A message of the test's own."""

    customer: str


class ToldLess(msgspec.Struct):
    """The same without its field."""

    who: str


def test_a_break_is_not_released(tmp_path: Path) -> None:
    """The writer refuses what breaks, and takes it as a version of its own."""
    first = Contract("told", Told, "output", "a test")
    release(first, tmp_path)
    before = (tmp_path / "told.v1.json").read_bytes()
    other = Contract("told", ToldLess, "output", "a test")
    with pytest.raises(BreaksError, match=re.escape("$.customer: removed")):
        release(other, tmp_path)
    assert (tmp_path / "told.v1.json").read_bytes() == before
    release(replace(other, version=2), tmp_path)
    assert (tmp_path / "told.v2.json").exists()


if __name__ == "__main__":
    RELEASED.mkdir(exist_ok=True)
    for one in CONTRACTS:
        release(one, RELEASED)
