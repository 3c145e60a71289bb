"""The threads that plans share: as many at work, with the one that asks, as the machine has cores.

A thread that has work to share does it itself and takes helpers along who are free. So nothing waits for a helper that is
busy elsewhere, and a plan run by a thread of another pool cannot wait for itself. A forked process starts without helpers
and makes its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor


def cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not everywhere
        return os.cpu_count() or 1


class Pool:
    """At most `size` − 1 helpers, made when first asked for."""

    def __init__(self, size: int | None = None) -> None:
        self._lock = threading.Lock()
        self._size = size or cores()
        self._helpers: ThreadPoolExecutor | None = None

    @property
    def size(self) -> int:
        """Threads that work at once, with the one that asks."""
        return self._size

    def resize(self, size: int) -> None:
        """Another size. What is at work goes on."""
        if size < 1:
            raise ValueError(f"a pool needs a thread, not {size}")
        with self._lock:
            old, self._helpers, self._size = self._helpers, None, size
        if old is not None:
            old.shutdown(wait=False)

    def forget(self) -> None:
        """Start anew without stopping anything: in a forked process the helpers do not exist."""
        self._lock = threading.Lock()
        self._helpers = None

    def share(self, work: Callable[[int], None], count: int) -> None:
        """Do `work(0)` … `work(count − 1)`, in any order, here and by helpers.

        An exception ends it: what has not begun is left, and the first one in order is raised once all threads have stopped.
        """
        if count <= 1 or self._size <= 1:
            for k in range(count):
                work(k)
            return
        share = _Share(work, count)
        helpers = self._taken()
        asked = [helpers.submit(share.run) for _ in range(min(self._size, count) - 1)] if helpers else []
        share.run()
        for one in asked:
            if not one.cancel():
                one.result()
        if share.errors:
            raise min(share.errors, key=lambda found: found[0])[1]

    def _taken(self) -> ThreadPoolExecutor | None:
        with self._lock:
            if self._helpers is None and self._size > 1:
                self._helpers = ThreadPoolExecutor(self._size - 1, thread_name_prefix="plan")
            return self._helpers


class _Share:
    """Work that several threads take from."""

    def __init__(self, work: Callable[[int], None], count: int) -> None:
        self.work = work
        self.errors: list[tuple[int, BaseException]] = []
        self._next: Iterator[int] = iter(range(count))  # the next number is taken in one step under the GIL

    def run(self) -> None:
        """Take work until there is none. What was taken is done, so the first error in order is always among those found."""
        while not self.errors:
            k = next(self._next, None)
            if k is None:
                return
            try:
                self.work(k)
            except BaseException as error:  # raised again by the thread that shares
                self.errors.append((k, error))


pool = Pool()
"""The one pool of the process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pool.forget)
