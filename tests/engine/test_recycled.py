"""Memory of results is used again once nobody holds them, and never before."""

from __future__ import annotations

import threading

import numpy as np

from engine.recycled import LEAST, Recycled

N = LEAST // 8


def test_memory_is_used_again_when_nobody_holds_it() -> None:
    store = Recycled()
    first = store.empty((N,), "float64")
    place = first.ctypes.data
    view = first[3:].reshape(-1, 1)
    del first
    assert store.empty((N,), "float64").ctypes.data != place, "a view holds it"
    del view
    assert store.empty((N // 2, 2), "float64").ctypes.data == place
    held = memoryview(store.empty((N,), "float64"))
    there = [store.empty((N,), "float64") for _ in range(3)]
    places = {x.ctypes.data for x in there} | {np.asarray(held).ctypes.data}
    assert len(places) == 4


def test_blocks_are_bounded_and_of_about_the_size() -> None:
    store = Recycled(most=4 * LEAST)
    for _ in range(3):
        held = [store.empty((N,), "float64") for _ in range(7)]
        assert store.nbytes <= store.most
        assert len({x.ctypes.data for x in held}) == 7
        del held
    place = store.empty((N,), "float64").ctypes.data
    assert store.empty((3,), "float64").base is None
    assert store.empty((N * 2,), "float32").nbytes == LEAST
    big = store.empty((2 * N,), "float64")
    assert big.ctypes.data != place
    assert store.empty((5 * N,), "float64").base is None, "larger than the store"
    store.forget()
    assert store.nbytes == 0


def test_copies_are_apart() -> None:
    store = Recycled()
    x = np.asfortranarray(np.arange(2.0 * N).reshape(2, N))
    y = store.copy(x)
    assert np.array_equal(x, y)
    assert not np.may_share_memory(x, y)
    assert y.flags.c_contiguous


def test_threads_share_no_block() -> None:
    store = Recycled()
    wrong = []

    def work(k: int) -> None:
        for _ in range(200):
            x = store.empty((N,), "float64")
            x[:] = k
            if x[0] != k or x[-1] != k or x.min() != k or x.max() != k:
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
