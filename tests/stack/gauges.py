"""What the members of a crew say of themselves."""

import json
import re
import urllib.request

from deploy.local.process import tail, wait_until
from tests.stack.crew import LOOK_S, Crew, Member


def metric(member: Member, name: str) -> list[float]:
    """Each series of a metric; none where the member does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{member.port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return []
    return [float(x) for x in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)]


def lags(crew: Crew) -> list[float]:
    """Lag of each partition that a worker holds, as gauges say that are set every 5 s."""
    crew.check()
    return [lag for one in crew.of("worker") for lag in metric(one, "segstream_lag_messages")]


def active(crew: Crew, patience_s: float) -> Member:
    """The trainer that closes days from now on.

    Raises
    ------
    AssertionError
        None does.
    """
    before = {one.name: _days(one) for one in crew.of("trainer")}
    found: list[Member] = []

    def look() -> bool:
        crew.check()
        found.extend(one for one in crew.of("trainer") if _days(one) > before[one.name])
        return bool(found)

    assert wait_until(look, patience_s, LOOK_S), "no trainer closes a day"
    return found[-1]


def _days(member: Member) -> float:
    return sum(metric(member, "segstream_days_closed_total"))


def served(crew: Crew) -> int:
    """Customers that the API has in segments, asked with the key that was made for the Explorer."""
    key = (crew.folder / "data/explorer").read_text("utf-8").strip()
    url = f"http://127.0.0.1:{crew.members['serve-1'].port}/segments"
    asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310 - our own address
        return int(json.loads(answer.read())["customers"])


_SHOWN = ("ready", "claimed", "lag_messages", "clock_timestamp_seconds", "days_closed_total")


def state(crew: Crew) -> str:
    """Where everybody is, for whoever looks why it does not go on."""
    lines = []
    for one in crew.members.values():
        shown = [f"{name} {metric(one, f'segstream_{name}')}" for name in _SHOWN]
        said = "\n    ".join(tail(one.log).splitlines()[-3:])
        lines.append(f"{one.name}: exit {one.process.poll()}; {', '.join(shown)}\n    {said}")
    return "\n".join(lines)
