"""Filling the cache of machine code in another process: compiling holds the interpreter lock for seconds."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
from functools import lru_cache

from engine.jit import cache

NEVER = "WENGERT_PLAIN_TAPE"
"""Environment variable: if it is set to anything, Numba is never loaded."""

_compiling = threading.Lock()


@lru_cache(1)
def installed() -> bool:
    """Whether Numba is there to be imported."""
    return importlib.util.find_spec("numba") is not None


def wanted() -> bool:
    """Whether Numba is there, and not refused."""
    return not os.environ.get(NEVER) and installed()


def compile_apart() -> bool:
    """Fill the cache on disk in another process, so that this one is not held up; whether it is filled. Takes its time."""
    command = [sys.executable, "-m", "engine.tape.ahead"]
    with _compiling:
        if cache.fresh():
            return True
        try:
            done = subprocess.run(command, capture_output=True, timeout=300, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return False
    return done.returncode == 0 and cache.fresh()
