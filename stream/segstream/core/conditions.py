"""The conditions of a mapping, compiled to tests of one row."""

from collections.abc import Callable, Sequence
from typing import Any

from segstream.core.declaration import Condition
from segstream.core.fields import Getter, Scope, column, numeric, text_of
from segstream.core.scalars import as_text

Test = Callable[[Any, int], bool]


def compile_all(conditions: Sequence[Condition], scope: Scope) -> Test | None:
    """Compile conditions that must all hold; None where there are none."""
    tests = [test for one in conditions for test in _tests(one, scope)]
    if not tests:
        return None
    if len(tests) == 1:
        return tests[0]
    return lambda row, line: all(test(row, line) for test in tests)


def _tests(condition: Condition, scope: Scope) -> list[Test]:
    """Compile one condition: a test per key."""
    tests: list[Test] = []
    if condition.negated is not None:
        inner = compile_all([condition.negated], scope)
        tests.append(lambda row, line: inner is None or not inner(row, line))
    if condition.column is None:
        return tests
    raw, label = column(condition.column, scope), f"column `{condition.column}`"
    text = text_of(raw, label)
    if condition.empty is not None:
        wanted = condition.empty
        tests.append(lambda row, line: (raw(row, line) is None) == wanted)
    tests += [_within(text, known) for known in _choices(condition, label)]
    if condition.starts_with is not None:
        start = condition.starts_with
        tests.append(lambda row, line: (text(row, line) or "").startswith(start))
    return tests + _comparisons(condition, numeric(raw, label, scope))


def _within(text: Getter, known: frozenset[str]) -> Test:
    return lambda row, line: (text(row, line) or "") in known


def _choices(condition: Condition, label: str) -> list[frozenset[str]]:
    """Texts that `equals` and `in` allow."""
    equals = [] if condition.equals is None else [[condition.equals]]
    one_of = [] if condition.one_of is None else [condition.one_of]
    return [frozenset(as_text(one, label) for one in known) for known in [*equals, *one_of]]


def _comparisons(condition: Condition, number: Getter) -> list[Test]:
    """Compile the comparisons with numbers: false where the column is empty."""
    above, at_least = condition.above, condition.at_least
    below, at_most = condition.below, condition.at_most
    tests: list[Test] = []
    if above is not None:
        tests.append(lambda row, line: (n := number(row, line)) is not None and n > above)
    if at_least is not None:
        tests.append(lambda row, line: (n := number(row, line)) is not None and n >= at_least)
    if below is not None:
        tests.append(lambda row, line: (n := number(row, line)) is not None and n < below)
    if at_most is not None:
        tests.append(lambda row, line: (n := number(row, line)) is not None and n <= at_most)
    return tests
