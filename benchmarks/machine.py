"""What was measured on, in general words, and the versions of everything."""

from __future__ import annotations

import datetime
import os
import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = (
    "numpy", "scipy", "numba", "fastapi", "uvicorn", "jax", "torch", "casadi", "autograd", "micrograd", "tesseract-core",
    "umbridge", "orjson",
)  # fmt: skip


def about() -> dict[str, Any]:
    """Day, processor, cores, memory, versions. No names of hosts or people."""
    return {
        "day": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpu": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory": memory(),
        "versions": {"Python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }


def processor() -> str:
    """Its kind."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.M)
    except OSError:
        found = None
    return found[1].strip() if found else platform.machine()


def memory() -> str:
    """How much, in GB."""
    try:
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return "memory unknown"
    return f"{pages / 1e9:.0f} GB"
