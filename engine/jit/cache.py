"""Machine code on disk: where it lies, whether it is of these sources, how it is loaded. Numba's cache, with our own rules.

Numba's rules take a folder only if it can be written to, and code only if it was compiled on the same processor. An image is
read-only and was built elsewhere, so here the code is compiled for a family of processors, and lies where it was put by
`python -m engine.tape.ahead`: beside the sources, or in the user's cache folder if that cannot be written to.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

MODULES: Mapping[str, str] = {
    "engine.tape.native": "native.py",
    "engine.tape.native_runs": "native_runs.py",
    "engine.spec.plain.compiled": "*.py",
    "engine.kernels.native": "*.py",
    "engine.kernels.strips": "*.py",
}
"""Modules whose functions are compiled when they are imported, and which files of their folder become part of that."""

STAMP = f"compiled-{sys.implementation.cache_tag}"
"""File beside the machine code that says what it is of."""


def processor() -> str | None:
    """LLVM's name of the family of processors to compile for; None for this very one."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return None
    try:
        # NumPy has no other place for it.
        umath: Any = importlib.import_module("numpy._core._multiarray_umath")
        has = umath.__cpu_features__
    except (ImportError, AttributeError):
        return None
    return "x86-64-v3" if has.get("AVX2") and has.get("FMA3") else "x86-64"


def identity() -> str:
    """What the machine code depends on: the sources beside it, Numba, Python, the kind of processor."""
    told = [sys.version, platform.machine(), str(processor())]
    told += [importlib.metadata.version(name) for name in ("numba", "llvmlite", "numpy")]
    told += [_digest(_file(name).parent, pattern) for name, pattern in MODULES.items()]
    return hashlib.sha256("\0".join(told).encode()).hexdigest()


def folders(source: Path) -> list[Path]:
    """Where the machine code of a module may lie, in order."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    apart = hashlib.sha256(str(source.parent).encode()).hexdigest()[:16]
    return [source.parent / "__pycache__", Path(base, "wengert", apart)]


def fresh() -> bool:
    """Whether the machine code of all modules is on disk and of these sources."""
    wanted = identity()
    return all(any(_stamped(f, wanted) for f in folders(_file(m))) for m in MODULES)


def load() -> ModuleType:
    """Import the tape's native module, from its machine code on disk or by compiling it."""
    return load_module("engine.tape.native")


def load_module(name: str) -> ModuleType:
    """Import a module of `MODULES` with Numba set to these rules."""
    numba: Any = importlib.import_module("numba")
    config = numba.config
    config.CACHE_LOCATOR_CLASSES = f"{__name__}.Locator"
    if config.CPU_NAME is None and processor() is not None:
        config.CPU_NAME, config.CPU_FEATURES = processor(), ""
    return importlib.import_module(name)


def stamp() -> None:
    """Note that the machine code of all modules, which have been loaded, is of these sources."""
    wanted = identity()
    for name in MODULES:
        folder = _place(_file(name))
        if folder is None:
            raise OSError(f"no folder for the machine code of {name} can be written to")
        descriptor, path = tempfile.mkstemp(dir=folder)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(wanted)
        os.chmod(path, 0o644)
        os.replace(path, folder / STAMP)


class Locator:
    """What Numba asks for the folder of a function's machine code."""

    def __init__(self, function: Any, file: str, folder: Path) -> None:
        self._line = function.__code__.co_firstlineno
        self._file = Path(file)
        self._folder = folder

    @classmethod
    def from_function(cls, function: Any, file: str) -> Locator | None:
        """A locator, unless there is neither machine code nor a folder to put it into."""
        folder = _place(Path(file)) if Path(file).exists() else None
        return None if folder is None else cls(function, file, folder)

    def ensure_cache_path(self) -> None:
        """The folder is there."""

    def get_cache_path(self) -> str:
        """The folder."""
        return str(self._folder)

    def get_source_stamp(self) -> str:
        """What the machine code must be of. Numba would ask for the file of the function alone, not for its helpers'."""
        folder = self._file.parent
        patterns = [pattern for name, pattern in MODULES.items() if _file(name).parent == folder]
        return _digest(folder, *(patterns or [self._file.name]))

    def get_disambiguator(self) -> str:
        """Tells functions of one name apart."""
        return str(self._line)


def _file(module: str) -> Path:
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise ImportError(module)
    return Path(found.origin)


def _digest(folder: Path, *patterns: str) -> str:
    texts = [path.read_bytes() for pattern in patterns for path in sorted(folder.glob(pattern))]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()


def _stamped(folder: Path, wanted: str) -> bool:
    try:
        return (folder / STAMP).read_text(encoding="utf-8") == wanted
    except OSError:
        return False


def _place(source: Path) -> Path | None:
    """The folder with machine code of these sources, else the first one that can be written to."""
    wanted = identity()
    places = folders(source)
    for folder in places:
        if _stamped(folder, wanted):
            return folder
    for folder in places:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        return folder
    return None
