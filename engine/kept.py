"""What is kept for the next time: a mapping that forgets what was not used for longest, bounded by memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

LARGEST = 4
"""One value may take the n-th part of what all may take together."""


class Kept(Generic[K, V]):
    """Values by key, of at most `most_bytes` together by their own account. Safe under threads.

    Two threads that miss at the same time both make the value, and the later one is kept."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.nbytes = 0
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        """The value under `key`, if there is one."""
        with self._lock:
            found = self._values.get(key)
            if found is None:
                return None
            self._values.move_to_end(key)
            return found[0]

    def put(self, key: K, value: V, nbytes: int) -> None:
        """Keep a value that takes about so many bytes, its key included; not if it is too large."""
        if nbytes > self.most_bytes // LARGEST:
            return
        with self._lock:
            known = self._values.pop(key, None)
            if known is not None:
                self.nbytes -= known[1]
            self._values[key] = (value, nbytes)
            self.nbytes += nbytes
            while self.nbytes > self.most_bytes:
                _, (_, freed) = self._values.popitem(last=False)
                self.nbytes -= freed

    def drop(self, key: K) -> None:
        """Forget one value."""
        with self._lock:
            known = self._values.pop(key, None)
            if known is not None:
                self.nbytes -= known[1]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values.clear()
            self.nbytes = 0
