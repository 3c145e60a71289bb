"""Compiles what Numba compiles, so that nobody waits for it later: `python -m engine.tape.ahead`.

Does nothing where Numba is not installed, or where the machine code on disk is up to date.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time

from engine.jit import cache


def main() -> int:
    """Fill the cache. Exit code 1 if nothing can be kept."""
    if importlib.util.find_spec("numba") is None:
        print("Numba is not installed: scalar graphs will be computed in plain Python.")
        return 0
    if cache.fresh():
        return 0
    if hasattr(os, "nice"):
        os.nice(5)
    begin = time.monotonic()
    for name in cache.MODULES:
        cache.load_module(name)
    cache.stamp()
    print(f"Compiled in {time.monotonic() - begin:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
