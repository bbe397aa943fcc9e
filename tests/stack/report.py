"""The report of a run: what was looked at, what was found, and what is wrong."""

import re
from collections.abc import Iterator

from tests.stack.scenario import Found, Plan


def faults(found: Found, plan: Plan) -> list[str]:
    """What is not as it must be; empty where all is well."""
    said = list(found.broken_rules)
    said += [f"no data: {one.who}: {one.query}" for one in (*found.panels, *found.alerts)
             if not one.samples]  # fmt: skip
    said += [f"not served: {name}" for name in found.unserved]
    said += [f"still at 0: {name}" for name in found.unmoved]
    said += [f"compiled at run time: {one}" for one in found.compiled]
    accounted = re.search(r"messages: ([\d,]+) sent", found.audit)
    if accounted is None or int(accounted[1].replace(",", "")) != found.sent:
        said.append(f"audit: expected {found.sent:,} messages accounted for, got: {found.audit}")
    if found.sent < plan.events:
        said.append(f"feed: expected {plan.events:,} messages, got {found.sent:,}")
    if not found.messages:
        said.append("campaign: expected entries in its log, got none")
    if found.served != found.customers:
        said.append(
            f"serve: expected the audit's {found.customers:,} customers, got {found.served:,}"
        )
    if "backlog" in plan.hurts:
        said += list(_lag_faults(found))
    return said


def _lag_faults(found: Found) -> Iterator[str]:
    if not found.lag_fired:
        yield "lag alert: expected it to fire while no trainer was there, it did not"
    if any(found.ended_s - last < 2.0 for _, last in found.lag_fired):
        yield "lag alert: expected it to clear, it still fires"


def report(found: Found, plan: Plan) -> list[str]:
    """Lines for people."""
    took = ", ".join(f"{what} {s:.0f} s" for what, s in found.took_s.items())
    lines = [f"took: {took}", *found.audit.splitlines()]
    lines.append(f"campaign: {found.messages:,} entries in its log")
    lines.append(f"serve: {found.served:,} customers; the Explorer answers")
    for title, asked in (("panels", found.panels), ("alerts' operands", found.alerts)):
        lines.append(f"{title}: {sum(one.samples > 0 for one in asked)} of {len(asked)} have data")
        lines += [f"  {one.samples:>7,} samples  {one.who}" for one in asked]
    if "backlog" in plan.hurts:
        fired = [last - first for first, last in found.lag_fired]
        longest = f", for {max(fired):.0f} s at most" if fired else ""
        lines.append(f"lag alert: fired on {len(fired)} partitions{longest}")
    wrong = faults(found, plan)
    lines += [f"WRONG: {one}" for one in wrong]
    lines.append("stack-test: " + (f"{len(wrong)} faults" if wrong else "all is well"))
    return lines
