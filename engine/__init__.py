"""Wengert's engine: autodiff on NumPy and SciPy. Knows no HTTP; `service` puts it on the wire.

language, spec   program text or a JSON graph  ->  Program   (what was written; no shapes yet)
specialize       Program and avals             ->  Graph     (a typed Wengert list)
transforms       Graph                         ->  Graph     (push, pull, vmap, simplify)
derive           a request                     ->  the answer
"""

__version__ = "0.1.0"
