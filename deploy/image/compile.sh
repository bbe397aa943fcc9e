#!/bin/sh
# Compile every kernel into a folder: a small feed with everything in it goes through once.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export NUMBA_CACHE_DIR="$1"
segstream-producers write synthetic "$work/feed.jsonl" --customers 300 --days 140 \
    --late 0.05 --duplicates 0.05 --bad 0.01
segstream run --source "$work/feed.jsonl" --state "$work/state" --out "$work/out" > "$work/said" ||
    { cat "$work/said"; exit 1; }
