#!/bin/sh
# Numba reads its cache only from a folder it may write to. The image's own belongs to root, and the
# file system may be read-only: copy the kernels to where there is room, then become the command.
set -eu
compiled=${SEGSTREAM_KERNELS:-/opt/segstream/kernels}
if [ ! -d "$NUMBA_CACHE_DIR" ] && ! cp -r "$compiled" "$NUMBA_CACHE_DIR"; then
    echo "segstream: expected room for compiled kernels in $NUMBA_CACHE_DIR, got none;" \
        "mount a tmpfs at /tmp, or set NUMBA_CACHE_DIR to a folder that can be written" >&2
    exit 4
fi
exec "$@"
