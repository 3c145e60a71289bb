"""Machine code that Numba makes: where it lies on disk (`cache`), and how it is made without holding up a request (`apart`).

Nothing here is compiled. The modules that are (`cache.MODULES`) are each loaded by what uses them.
"""
