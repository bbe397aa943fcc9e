"""docker-compose.yml: by the specification, closed to the outside, and speaking of what exists."""

import json
import re
import shlex
import tomllib
from importlib import resources
from typing import Any, Final

import click
import jsonschema
import pytest
import yaml
from deploy.local.jars import kafka_version
from deploy.local.parts import Redis, broker_properties
from tests.stack.compose import COMPOSE, ENV, ROOT, document, dotenv, services
from tests.stack.test_image import DOCKERFILE

from segstream.adapters.campaign_files import read_campaigns
from segstream.cli import segstream
from segstream.main_job import read_settings
from segstream_producers.cli import COMPLETE_JOURNEY, producers

FILE: Final = document(dotenv())
SERVICES: Final[dict[str, dict[str, Any]]] = FILE["services"]
OURS: Final = {name: one for name, one in SERVICES.items() if one["image"] == "segstream:local"}


def schema() -> dict[str, Any]:
    """The Compose specification's schema, as check-jsonschema ships it."""
    vendored = resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"
    return dict(json.loads(vendored.read_text("utf-8")))


def test_specification() -> None:
    """The file is valid by the Compose specification's schema, which is not lenient."""
    checker = jsonschema.Draft7Validator(schema())
    assert [error.message for error in checker.iter_errors(FILE)] == []
    wrong = FILE | {"services": SERVICES | {"worker": SERVICES["worker"] | {"comand": "x"}}}
    assert "comand" in " ".join(error.message for error in checker.iter_errors(wrong))


def test_every_variable_is_explained() -> None:
    """.env has each variable of the file, no other, and each has the file's own default."""
    lines = "\n".join(x for x in COMPOSE.read_text("utf-8").splitlines() if x.strip()[:1] != "#")
    used = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", lines))
    assert used == dotenv()
    assert len(used) == len(set(re.findall(r"\$\{(\w+)", lines)))


def test_no_secret_is_checked_in() -> None:
    """No value of .env or of an environment has the name of a secret."""
    names = [
        *dotenv(ENV),
        *(name for one in SERVICES.values() for name in one.get("environment", ())),
    ]
    assert not [name for name in names if re.search(r"PASSWORD|SECRET|TOKEN|_KEY$", name)]


@pytest.mark.parametrize("name", SERVICES)
def test_hygiene(name: str) -> None:
    """Ports on loopback only; no capability, no new privileges; a limit on memory and logs."""
    one = SERVICES[name]
    assert all(port.startswith("127.0.0.1:") for port in one.get("ports", ()))
    assert bool(one.get("ports")) == ("outside" in one["networks"])
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert one["deploy"]["resources"]["limits"]["memory"]
    assert one["logging"]["options"]["max-size"]
    # Kafka's image writes its configuration beside its programs.
    assert one.get("read_only", False) == (name != "kafka")
    assert re.search(r":(v?\d[\w.-]+|local)$", one["image"])
    assert FILE["networks"]["inside"]["internal"] is True


@pytest.mark.parametrize("name", SERVICES)
def test_order(name: str) -> None:
    """What a service waits for exists, and says when it is ready."""
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        check = SERVICES[other].get("healthcheck", {})
        once = wait["condition"] == "service_completed_successfully"
        assert once == (other in ("topics", "key"))
        assert once or other in OURS or check["test"]


@pytest.mark.parametrize("name", SERVICES)
def test_mounts(name: str) -> None:
    """A mounted file exists, a volume is declared."""
    for source in services(dotenv())[name].mounts.values():
        assert (ROOT / source).exists() if source.startswith(".") else source in FILE["volumes"]


def test_the_demo_has_room() -> None:
    """The producer may write where it makes the demo's file, and that is no memory."""
    (workdir,) = re.findall(r"^WORKDIR (/\S+)$", DOCKERFILE.read_text("utf-8"), re.MULTILINE)[1:]
    assert not COMPLETE_JOURNEY.is_absolute()
    assert services(dotenv())["producer"].mounts[workdir] in FILE["volumes"]


@pytest.mark.parametrize("name", OURS)
def test_commands_parse(name: str) -> None:
    """Each command line of a role, also within a shell's, is one that the program takes."""
    programs: dict[str, click.Command] = {"segstream": segstream, "segstream-producers": producers}
    said = " ".join(services(dotenv())[name].command)
    lines = re.findall(r"\b(segstream(?:-producers)?) ([^>|;&]*)", said)
    assert lines
    for program, rest in lines:
        command, words = programs[program], shlex.split(rest)
        while isinstance(command, click.Group) and words and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        assert command.make_context(name, words).params


def test_configuration() -> None:
    """The roles' own readers take settings and campaigns; topics keep the demo's year."""
    settings = read_settings(ROOT / "deploy/compose/segstream.toml")
    assert settings.kafka.partitions >= int(dotenv()["WORKERS"])
    assert float(settings.kafka.retention_days) > 366
    assert "--namespace shop" in SERVICES["producer"]["command"]
    assert settings.namespace == "shop"
    assert read_campaigns(ROOT / "deploy/compose/campaigns.toml").campaign


def test_every_role_is_scraped() -> None:
    """Prometheus asks each service that serves metrics, each in a job of its own."""
    config = yaml.safe_load((ROOT / "deploy/compose/prometheus.yml").read_text("utf-8"))
    jobs = [(job["job_name"], job["dns_sd_configs"][0]) for job in config["scrape_configs"]]
    serving = {name for name in OURS if "--metrics-port 9100" in str(OURS[name]["command"])}
    serving.add("serve")
    assert sorted(name for name, _ in jobs) == sorted(f"segstream-{name}" for name in serving)
    assert all(f"segstream-{found['names'][0]}" == name for name, found in jobs)
    wanted = {name: 8080 if name == "segstream-serve" else 9100 for name, _ in jobs}
    assert {name: found["port"] for name, found in jobs} == wanted


def test_servers_are_those_of_the_tests() -> None:
    """Kafka has the version, and Kafka and Redis the settings, that the tests run on."""
    kafka = services(dotenv())["kafka"]
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka_version()}"
    tested = broker_properties(ROOT, 1, 2)
    for key, value in kafka.environment.items():
        prop = key.removeprefix("KAFKA_").lower().replace("_", ".")
        own = re.search(r"listener|voters|heap|log\.dirs", prop)
        assert own or tested[prop] == value, prop
    given = services(dotenv())["redis"].command
    for key in ("appendonly", "appendfsync", "maxmemory-policy", "save"):
        assert given[given.index(f"--{key}") + 1] == Redis.settings[key].strip('"')


def test_image_is_locked() -> None:
    """Every package that the image asks for by name has its version in constraints.txt."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = project["build-system"]["requires"] + project["project"]["dependencies"]
    for extra in project["project"]["optional-dependencies"].values():
        wanted += [one for one in extra if not one.startswith("segstream[")]
    names = {re.split(r"[\[<>=]", one)[0].lower().replace("_", "-") for one in wanted}
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    locked = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    assert names <= locked
