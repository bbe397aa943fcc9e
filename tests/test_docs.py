"""What the documents say is there: commands, options, files, examples, and every generated table.

`python -m tests.test_docs` writes the generated tables anew.
"""

import ast
import csv
import io
import re
import shlex
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import click
import jsonschema
import msgspec
import pytest
from deploy.local.commands import main as stack

from segstream.adapters.kafka_topics import wanted_topics
from segstream.adapters.playbook_files import named_playbook
from segstream.cli import segstream
from segstream.contracts import BY_NAME, CONTRACTS, json_schema
from segstream.core.campaign_file import load_campaigns
from segstream.core.campaigns import (
    Campaign,
    Campaigns,
    Cap,
    DeadLetterPlace,
    WebhookSettings,
)
from segstream.core.changes import Change
from segstream.core.drift import DriftSettings
from segstream.core.events import DEAD_LETTER_CODES, Event, parse_json
from segstream.core.mapping import load_mapping
from segstream.core.playbook import words as in_words
from segstream.core.playbook_checks import load_playbook
from segstream.core.portrait import ROLES
from segstream.core.refit import Gate
from segstream.core.rows import compile_mapping, parse_row
from segstream.core.spec import Feature, Measure
from segstream.core.trainer_state import TrainerSettings
from segstream.kafka_settings import DAY_MS, KafkaSettings
from segstream.metrics import CATALOGUE
from segstream.settings import (
    ClockSettings,
    DeadLetterSettings,
    InsightsSettings,
    PolicySettings,
    Settings,
    compile_spec,
    load_settings,
)
from segstream_producers.cli import producers

ROOT: Final = Path(__file__).resolve().parents[1]
DOCS: Final = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")],
    key=lambda path: path.as_posix(),
)
SECTIONS: Final[dict[str, type[msgspec.Struct]]] = {
    "": Settings,
    "[policy]": PolicySettings,
    "[model]": TrainerSettings,
    "[model.gate]": Gate,
    "[model.drift]": DriftSettings,
    "[clock]": ClockSettings,
    "[dead_letters]": DeadLetterSettings,
    "[insights]": InsightsSettings,
    "[kafka]": KafkaSettings,
    "[[measures]]": Measure,
    "[[features]]": Feature,
}
CAMPAIGN_SECTIONS: Final[dict[str, type[msgspec.Struct]]] = {
    "": Campaigns,
    "[[campaign]]": Campaign,
    "cap": Cap,
    "[webhook]": WebhookSettings,
    "[dead_letters]": DeadLetterPlace,
}
# What the code's own docstrings leave to its names.
SAID: Final = {
    "starts": "k-means++ starts of every fit.",
    "seed": "Of every random draw: the same events and seed give the same models.",
    "policy": "A table of its own.", "model": "A table of its own.",
    "gate": "A table of its own.", "drift": "A table of its own.",
    "clock": "A table of its own.", "dead_letters": "A table of its own.",
    "kafka": "A table of its own.", "insights": "A table of its own.",
    "measures": "What of an event counts; the retail measures where absent.",
    "features": "What makes a number per customer; the retail features where absent.",
    "name": "Of lower case letters, digits and `_`.",
    "measure": "The measure it is made of.", "per": "The measure it is divided by.",
    "scale": "Divisor inside the logarithm.",
    "floor": "Days; see `overdue`.", "ceiling": "Days; see `overdue`.",
    "attribute": "Of profile events; see `kind`.", "category": "The value that is 1 in `one_hot`.",
}  # fmt: skip


# ---- what is generated -----------------------------------------------------------------


def described(kind: type[msgspec.Struct]) -> dict[str, str]:
    """Field to what its numpydoc `Attributes` section says of it."""
    found: dict[str, list[str]] = {}
    names: list[str] = []
    _, _, section = (kind.__doc__ or "").partition("Attributes\n")
    for line in section.splitlines()[1:]:
        if line.startswith("        "):
            for name in names:
                found[name].append(line.strip())
        elif line.strip():
            names = line.strip().split(", ")
            found.update({name: [] for name in names})
    return {name: " ".join(lines) for name, lines in found.items()}


def default(field: msgspec.structs.FieldInfo) -> str:
    """A field's default as TOML writes it."""
    if field.required:
        return "required"
    value = field.default
    if isinstance(value, msgspec.Struct) or value in (None, ()):
        return "-"
    if value is msgspec.NODEFAULT:
        return "-"
    return f"`{msgspec.json.encode(value).decode()}`"


def settings_tables() -> str:
    return key_tables(SECTIONS)


def campaign_tables() -> str:
    return key_tables(CAMPAIGN_SECTIONS)


def key_tables(sections: Mapping[str, type[msgspec.Struct]]) -> str:
    lines = []
    for section, kind in sections.items():
        says = described(kind)
        lines += [f"### {f'`{section}`' if section else 'Top level'}", ""]
        lines += ["| key | default | meaning |", "|---|---|---|"]
        for field in msgspec.structs.fields(kind):
            meaning = says.get(field.name) or SAID[field.name]
            cell = re.sub(r"`+", "`", meaning).replace("|", "\\|")
            lines.append(f"| `{field.name}` | {default(field)} | {cell} |")
        lines.append("")
    return "\n".join(lines).rstrip()


def code_table() -> str:
    rows = [f"| `{code}` | {meaning} |" for code, meaning in DEAD_LETTER_CODES.items()]
    return "\n".join(["| code | meaning |", "|---|---|", *rows])


def commands(group: click.Command, words: str) -> Iterator[tuple[str, click.Command]]:
    """Every command below a group, with what to type."""
    if not isinstance(group, click.Group):
        yield words, group
        return
    if group.invoke_without_command:
        yield words, group
    for name, command in group.commands.items():
        yield from commands(command, f"{words} {name}")


def command_table() -> str:
    every = (*commands(segstream, "segstream"), *commands(producers, "segstream-producers"))
    rows = [f"| `{words}` | {one.get_short_help_str(200)} |" for words, one in every]
    return "\n".join(["| command | what it does |", "|---|---|", *rows])


def topic_table() -> str:
    kafka = KafkaSettings()
    longest = max(f.window_days or 0.0 for f in Settings().spec.features)
    rows = []
    for topic in wanted_topics(kafka, "NAMESPACE", longest):
        stays = topic.configs.get("retention.ms")
        kept = f"{int(stays) / DAY_MS:g} days" if stays else "compacted"
        rows.append(f"| `{topic.name}` | {topic.partitions} | {kept} |")
    return "\n".join(["| topic | partitions | kept |", "|---|---|---|", *rows])


def role_table() -> str:
    rows = [f"| `{name}` | {role.says} |" for name, role in ROLES.items()]
    return "\n".join(["| role | the feature |", "|---|---|", *rows])


def playbook_table() -> str:
    playbook = named_playbook("retail", compile_spec(Settings()))
    rows = [
        f"| {t.name} | {'; '.join(in_words(c) for c in t.when)} | {t.strategy} |"
        for t in playbook.template
    ]
    return "\n".join(["| name | when | strategy |", "|---|---|---|", *rows])


def metrics_table() -> str:
    rows = []
    for metric in CATALOGUE:
        bounds = "; ".join(
            f"{label}: {', '.join(b) if isinstance(b, tuple) else b}"
            for label, b in metric.labels.items()
        )
        says = metric.help.replace("|", "\\|")
        rows.append(
            f"| `{metric.name}` | {metric.kind} | {metric.role} | {says} | {bounds or '-'} |"
        )
    head = ["| metric | kind | role | what | labels |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows])


def contract_table() -> str:
    rows = [
        f"| `{one.name}` | {one.version} | {one.direction} | {one.encoding} | {one.where} |"
        for one in CONTRACTS
    ]
    head = ["| contract | version | direction | as | where |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows])


GENERATED: Final = {
    "contracts": (ROOT / "docs/contracts.md", contract_table),
    "metrics": (ROOT / "docs/operations.md", metrics_table),
    "settings": (ROOT / "docs/settings.md", settings_tables),
    "dead-letters": (ROOT / "docs/events.md", code_table),
    "commands": (ROOT / "README.md", command_table),
    "campaigns": (ROOT / "docs/campaigns.md", campaign_tables),
    "topics": (ROOT / "docs/kafka.md", topic_table),
    "roles": (ROOT / "docs/playbook.md", role_table),
    "playbook": (ROOT / "docs/playbook.md", playbook_table),
}


def marks(name: str) -> tuple[str, str]:
    return f"<!-- begin generated: {name} -->\n", f"<!-- end generated: {name} -->\n"


def write_generated() -> None:
    for name, (path, table) in GENERATED.items():
        begin, end = marks(name)
        before, found, rest = path.read_text("utf-8").partition(begin)
        _, closed, after = rest.partition(end)
        assert found, f"{path.name} has no table {name}"
        assert closed, f"{path.name} does not end the table {name}"
        path.write_text(f"{before}{begin}{table()}\n{end}{after}", "utf-8")


@pytest.mark.parametrize("name", GENERATED)
def test_generated_tables_are_current(name: str) -> None:
    """A table is what the code says; `python -m tests.test_docs` writes it anew."""
    path, table = GENERATED[name]
    begin, end = marks(name)
    _, found, rest = path.read_text("utf-8").partition(begin)
    assert found, f"{path.name} has no table {name}"
    assert rest.partition(end)[0] == f"{table()}\n"


# ---- what is typed ---------------------------------------------------------------------


def blocks(path: Path, *languages: str) -> list[str]:
    """Code blocks of a document in one of the languages, in order."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", path.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [body for language, body in found if language in languages]


def typed(path: Path) -> Iterator[list[str]]:
    """Commands of a document's shell blocks, as words."""
    for body in blocks(path, "sh"):
        for line in body.replace("\\\n", " ").splitlines():
            plain = line.replace("$(", " ; ").replace(")", " ").replace('"', " ")
            for part in re.split(r"\||&&|;|>", plain):
                words = shlex.split(part, comments=True)
                if words:
                    yield words


def parse(command: click.Command, words: list[str]) -> None:
    """Let click judge options and arguments; nothing is run."""
    while isinstance(command, click.Group):
        name = words[1] if len(words) > 1 else ""
        if command.invoke_without_command and name.startswith("-"):
            break
        assert name in command.commands, f"no command {' '.join(words)}"
        command, words = command.commands[name], words[1:]
    command.make_context(words[0], words[1:])


def check_stack(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        stack([*words[1:], "--help"])
    assert ended.value.code == 0


def check_make(words: list[str]) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert set(words[1:]) <= set(targets), f"no target {' '.join(words)}"


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_typed_commands_exist(path: Path) -> None:
    """Every command of a shell block exists, and takes the options and arguments shown."""
    for words in typed(path):
        match words[0]:
            case "segstream":
                parse(segstream, words)
            case "segstream-producers":
                parse(producers, words)
            case "deploy/local/stack":
                check_stack(words)
            case "make":
                check_make(words)


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_commands_in_sentences_exist(path: Path) -> None:
    """A command named in a sentence is one."""
    text = path.read_text("utf-8")
    for name in re.findall(r"`segstream ([a-z-]+)", text):
        assert name in segstream.commands
    for name in re.findall(r"`segstream-producers ([a-z]+)", text):
        assert name in producers.commands
    for target in re.findall(r"`make ([a-z-]+)`", text):
        check_make(["make", target])


# ---- what is shown ---------------------------------------------------------------------


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_toml_loads(path: Path) -> None:
    """A TOML block is a mapping, a playbook, campaigns or settings, whole and valid."""
    for body in blocks(path, "toml"):
        if "[[event]]" in body or "contract =" in body:
            load_mapping(body, path.name)
        elif "[[template]]" in body or "[[place]]" in body:
            load_playbook(body, path.name, compile_spec(Settings()))
        elif "[[campaign]]" in body:
            load_campaigns(body, path.name)
        else:
            compile_spec(load_settings(body, path.name))


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_python_parses(path: Path) -> None:
    """A Python block is Python."""
    for body in blocks(path, "python"):
        ast.parse(body)


def made(mapping_text: str, row: Mapping[str, Any]) -> list[Any]:
    """Events that a mapping makes of a row, as JSON would show them."""
    mapping = load_mapping(mapping_text, "docs/mapping.md")
    if mapping.declared.format == "json":
        events = parse_row(compile_mapping(mapping), msgspec.json.encode(row), 17)
    else:
        line = io.StringIO()
        csv.writer(line, delimiter=mapping.declared.delimiter).writerow(row.values())
        reader = compile_mapping(mapping, header=list(row))
        events = parse_row(reader, line.getvalue().strip().encode(), 17)
    return [event if event is None else msgspec.to_builtins(event) for event in events]


def mapped_examples() -> list[tuple[str, str]]:
    """Mappings with the example that stands right below each."""
    text = (ROOT / "docs/mapping.md").read_text("utf-8")
    found = re.findall(r"^```(toml|json)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [
        (mapping, example)
        for (kind, mapping), (after, example) in pairwise(found)
        if (kind, after) == ("toml", "json")
    ]


@pytest.mark.parametrize(("mapping", "example"), mapped_examples())
def test_mapped_rows_are_as_shown(mapping: str, example: str) -> None:
    """The row beside a mapping becomes the events shown; it is line 17 of its file."""
    shown = msgspec.json.decode(example)
    assert made(mapping, shown["row"]) == shown["events"]


def test_event_examples_are_events() -> None:
    """Every JSON block of the contract is an event or a change, by type and by JSON Schema."""
    bodies = blocks(ROOT / "docs/events.md", "json")
    changes = [body for body in bodies if "specversion" in body]
    for body in bodies:
        kind: type[msgspec.Struct] = Change if body in changes else Event
        msgspec.json.decode(body, type=kind)
        name = "change" if body in changes else "event"
        jsonschema.validate(msgspec.json.decode(body), json_schema(BY_NAME[name]))
    assert changes
    assert all(isinstance(parse_json(b.encode()), Event) for b in bodies if b not in changes)


def test_one_real_message_of_each_contract() -> None:
    """docs/contracts.md shows a message of every contract in JSON, valid under its schema."""
    text = (ROOT / "docs/contracts.md").read_text("utf-8")
    pattern = r"^### `([a-z-]+)`\n.*?^```json\n(.*?)^```"
    shown = dict(re.findall(pattern, text, re.DOTALL | re.MULTILINE))
    elsewhere = {"event", "change", "playbook"}
    assert shown.keys() | elsewhere == BY_NAME.keys()
    for name, body in shown.items():
        jsonschema.validate(msgspec.json.decode(body), json_schema(BY_NAME[name]))


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    """A link to a file of the checkout names one that is there."""
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text("utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (path.parent / target).exists(), f"{path.name}: no {target}"


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_named_tests_exist(path: Path) -> None:
    """A test that a document names is in its file."""
    for name, _, test in re.findall(r"`(tests/[\w/]+\.py)(::(\w+))?`", path.read_text("utf-8")):
        assert (ROOT / name).exists(), f"{path.name}: no {name}"
        assert f"def {test}" in (ROOT / name).read_text("utf-8"), f"{path.name}: no {test}"


if __name__ == "__main__":
    write_generated()
