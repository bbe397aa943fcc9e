#!/bin/sh
# Compile every kernel into a folder: a small feed with everything in it goes through once, and is looked at.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export NUMBA_CACHE_DIR="$1"
segstream-producers write synthetic "$work/feed.jsonl" --customers 300 --days 140 \
    --late 0.05 --duplicates 0.05 --bad 0.01
segstream run --source "$work/feed.jsonl" --state "$work/state" --out "$work/out" > "$work/said" ||
    { cat "$work/said"; exit 1; }
# What the API alone calls.
python - "$work" <<'PYTHON'
import sys
from pathlib import Path

from segstream.api.lens import Lens
from segstream.core.recent import bought_of
from segstream.view import open_view

work = Path(sys.argv[1])
view = open_view(work / "state", work / "out")
Lens(view.spec, view.model)
view.partition.recent_days(view.partition.living()[1], bought_of(view.spec))
PYTHON
