"""`make reproduction`: five published batch studies, recomputed from their data and corrected.

python -m benchmarks.reproduction
python -m benchmarks.reproduction total-value coupons
python -m benchmarks.reproduction --write-docs
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Final

from benchmarks.feeds import ROOT
from benchmarks.reproduction.studies import STUDIES
from benchmarks.reproduction.study import Study
from benchmarks.reproduction.table import page, text

PAGE: Final = ROOT / "docs" / "reproduction.md"
BEGIN: Final = "<!-- begin generated: reproduction -->\n"
END: Final = "<!-- end generated: reproduction -->\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Recompute the studies asked for, all by default."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    unknown = sorted(set(asked.study) - set(STUDIES))
    if unknown:
        parser.error(f"expected studies of {', '.join(STUDIES)}, got {', '.join(unknown)}")
    keys = list(dict.fromkeys(asked.study or STUDIES))
    found = []
    for study in _recomputed(keys):
        found.append(study)
        print("\n".join(text(study)), flush=True)
    print(f"{len(found)} of {len(keys)} studies recomputed")
    if not found:
        return 1
    return _write(found) if asked.write_docs else 0


def _recomputed(keys: Sequence[str]) -> Iterator[Study]:
    for key in keys:
        source = STUDIES[key]
        if source.file.exists():
            yield source.run()
        else:
            print(f"{key} is left out: expected its data in {source.file}, got nothing; put the "
                  "study's files there", file=sys.stderr)  # fmt: skip


def _write(studies: list[Study]) -> int:
    if len(studies) < len(STUDIES):
        print(f"{PAGE.name} is left as it is: expected all {len(STUDIES)} studies, got "
              f"{len(studies)}; give no names, and all the data", file=sys.stderr)  # fmt: skip
        return 1
    PAGE.write_text(with_studies(PAGE.read_text("utf-8"), studies), "utf-8")
    return 0


def with_studies(before: str, studies: list[Study]) -> str:
    """Return the page's text with its generated part made anew."""
    head, begin, rest = before.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name}: expected the marks {BEGIN.strip()} and {END.strip()}")
    return f"{head}{BEGIN}{page(studies)}\n{END}{tail}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reproduction",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("study", nargs="*", help=f"of {', '.join(STUDIES)}; all where absent")
    parser.add_argument("--write-docs", action="store_true", help="write docs/reproduction.md anew")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
