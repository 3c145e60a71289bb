"""What BLAS is to be told before NumPy is imported: in the environment, which is the only place where OpenBLAS looks.

Imports nothing, so that a command can ask first.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

ONE_THREAD: Mapping[str, str] = {
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
"""Requests are computed side by side, and a large product is cut by rows for the threads of the plans (`execute.pool`).

With threads of BLAS's own these wait for one another, each turning in a loop until the last is done, and where cores are
busy with other requests that is for ever. (Two cores, three quarters of one free, products of 128 × 128 matrices in two
requests at once: 3 requests a second with two threads, 100 with one.) One thread also keeps results from depending on the
number of cores: sums are cut where threads begin.
"""

_WIDE = {"avx512f", "avx512dq", "avx512bw", "avx512vl"}
"""What OpenBLAS's kernels named SkylakeX are made of."""


def environment(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, str]:
    """Variables and values, for those who have not set them otherwise.

    OpenBLAS chooses its kernels by the processor's maker, and takes those of 256 bits on AMD's, also where there are 512
    (a single-precision product is 1.9 × as fast with them, one in double precision 1.6 ×).
    """
    chosen = dict(ONE_THREAD)
    try:
        with cpuinfo.open(encoding="ascii", errors="replace") as lines:
            flags = next((line for line in lines if line.startswith("flags")), "")
    except OSError:
        flags = ""
    if set(flags.split()) >= _WIDE:
        chosen["OPENBLAS_CORETYPE"] = "SkylakeX"
    return chosen
