#!/usr/local/bin/python3 -IS
"""Exit 0 where an address answers 200: `segstream-health http://127.0.0.1:9100/readyz`."""

import sys
import urllib.error
import urllib.request

try:
    with urllib.request.urlopen(sys.argv[1], timeout=4) as answer:  # noqa: S310 - our own address
        said = answer.read(1000)
        healthy = answer.status == 200
except urllib.error.HTTPError as error:
    with error:
        said, healthy = error.read(1000), False
except OSError as error:
    said, healthy = str(error).encode(), False
print(said.decode(errors="replace").strip()[:500])
sys.exit(not healthy)
