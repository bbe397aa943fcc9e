"""What a change of a JSON Schema breaks, and for whom.

`breaks` compares the schema of a contract with the released one. Messages stay in their topics, and
writers and readers are upgraded one after the other. So

- a field that is gone breaks whoever reads or fills it
- what the released schema allows, the new one must allow: the messages are there already (a field
  that is newly required, a type or a bound that is narrower)
- of an output, what the new schema allows the released one must allow too: its readers are there
  (another type, a value more in an enumeration, null, a field that may be missing now)

A field more is no break, where it is optional. Descriptions, titles, examples, defaults say nothing
of what is allowed. A keyword that this file does not know is an error: it could hide a break.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from segstream.contracts import Direction

Schema = Mapping[str, Any]
_SAID: Final = {
    "$schema",
    "$id",
    "$comment",
    "$defs",
    "title",
    "description",
    "examples",
    "default",
}
_LOWEST: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_HIGHEST: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
_SAME: Final = ("format", "pattern", "contentEncoding")
_KNOWN: Final = {
    *_SAID, *_LOWEST, *_HIGHEST, *_SAME, "$ref", "anyOf", "type", "enum", "properties", "required",
    "additionalProperties", "items", "prefixItems",
}  # fmt: skip


def breaks(released: Schema, new: Schema, direction: Direction) -> list[str]:
    """What breaks, a sentence each with its place; empty where nothing does."""
    before, after = _Node(released, released), _Node(new, new)
    found = [f"{path}: removed" for path in sorted(set(before.paths()) - set(after.paths()))]
    gone = {line.partition(":")[0] for line in found}
    found += [f"{why} (messages that are there)" for why in _refused(after, before, gone)]
    if direction == "output":
        found += [f"{why} (readers that are there)" for why in _refused(before, after, gone)]
    return list(dict.fromkeys(found))


class _Node:
    """A place in a schema, its reference followed."""

    def __init__(self, root: Schema, node: Schema, path: str = "$") -> None:
        while "$ref" in node:
            node = root["$defs"][node["$ref"].rpartition("/")[2]]
        unknown = set(node) - _KNOWN
        assert not unknown, f"{path}: the comparison does not know {unknown}; teach it"
        self._root, self.node, self.path = root, node, path

    def at(self, node: Schema, step: str) -> "_Node":
        return _Node(self._root, node, self.path + step)

    @property
    def branches(self) -> list["_Node"]:
        return [self.at(one, "") for one in self.node.get("anyOf", [self.node])]

    @property
    def fields(self) -> dict[str, "_Node"]:
        each = self.node.get("properties", {})
        return {name: self.at(one, f".{name}") for name, one in each.items()}

    @property
    def rest(self) -> "_Node":
        """Fields without a name: an object of any keys."""
        given = self.node.get("additionalProperties", {})
        return self.at(given if isinstance(given, dict) else {}, ".*")

    @property
    def items(self) -> list["_Node"]:
        given = [*self.node.get("prefixItems", ())]
        last = self.node.get("items", {})
        return [self.at(one, "[]") for one in [*given, last if isinstance(last, dict) else {}]]

    @property
    def closed(self) -> bool:
        return self.node.get("additionalProperties") is False

    @property
    def required(self) -> set[str]:
        return set(self.node.get("required", ()))

    @property
    def types(self) -> set[str]:
        given = self.node.get("type")
        if given is None:
            values = self.node.get("enum")
            return {_type_of(value) for value in values} if values is not None else set()
        return {given} if isinstance(given, str) else set(given)

    def paths(self, seen: frozenset[str] = frozenset()) -> Iterator[str]:
        """Every field below, by its path."""
        own = json.dumps(self.node, sort_keys=True)
        if own in seen:  # a type within itself
            return
        seen |= {own}
        for branch in self.branches:
            for field in branch.fields.values():
                yield field.path
                yield from field.paths(seen)
            for one in (*branch.items, branch.rest):
                if one.node:
                    yield from one.paths(seen)


def _refused(wide: _Node, narrow: _Node, gone: set[str], depth: int = 0) -> list[str]:
    """Why `wide` refuses something that `narrow` allows."""
    if not wide.node:  # allows everything
        return []
    if depth > 12 or (wide.node == narrow.node and wide._root == narrow._root):
        return []
    found: list[str] = []
    for branch in narrow.branches:
        each = [_refused_one(one, branch, gone, depth) for one in wide.branches]
        # A type within several: the reasons of the branch that fits best are told.
        fewest = min(len(lines) for lines in each)
        found += next(lines for lines in each if len(lines) == fewest)
    return found


def _refused_one(wide: _Node, narrow: _Node, gone: set[str], depth: int) -> list[str]:
    path = narrow.path
    odd = narrow.types - wide.types - ({"integer"} if "number" in wide.types else set())
    if wide.types and (odd or not narrow.types):
        return [f"{path}: {sorted(narrow.types) or 'anything'} against {sorted(wide.types)}"]
    found = [*_values(wide, narrow), *_bounds(wide, narrow)]
    found += [f"{path}.{name}: required" for name in sorted(wide.required - narrow.required)
              if f"{path}.{name}" not in gone]  # fmt: skip
    theirs, ours = narrow.fields, wide.fields
    if wide.closed and not narrow.closed:
        found.append(f"{path}: further fields are refused")
    for name in theirs.keys() & ours.keys():
        found += _refused(ours[name], theirs[name], gone, depth + 1)
    if not theirs and not ours:
        found += _refused(wide.rest, narrow.rest, gone, depth + 1)
    if len(wide.items) != len(narrow.items):
        return [*found, f"{path}: a row of {len(narrow.items) - 1} against {len(wide.items) - 1}"]
    for one, other in zip(wide.items, narrow.items, strict=True):
        found += _refused(one, other, gone, depth + 1)
    return found


def _values(wide: _Node, narrow: _Node) -> Iterator[str]:
    allowed = wide.node.get("enum")
    if allowed is None:
        return
    given = narrow.node.get("enum")
    if given is None:
        yield f"{narrow.path}: any value against {allowed}"
    elif odd := [value for value in given if value not in allowed]:
        yield f"{narrow.path}: {odd} is none of {allowed}"


def _bounds(wide: _Node, narrow: _Node) -> Iterator[str]:
    for key in (*_LOWEST, *_HIGHEST, *_SAME):
        limit, own = wide.node.get(key), narrow.node.get(key)
        if limit is None or limit == own:
            continue
        if own is None or key in _SAME or (own < limit if key in _LOWEST else own > limit):
            yield f"{narrow.path}: {key} {own} against {limit}"


def _type_of(value: Any) -> str:
    names = {str: "string", bool: "boolean", int: "integer", float: "number"}
    return names.get(type(value), "null")
