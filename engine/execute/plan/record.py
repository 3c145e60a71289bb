"""What a function on arrays does, as a list of NumPy's elementwise calls: found out by calling it with stand-ins.

An op says how it is computed in one place, a function that writes with ufuncs into memory that is there (`Op.into`). A stand-in
for an array takes part in ufuncs by NumPy's own protocol (NEP 13) and writes them down. A function that does anything else with
it cannot be recorded, and is called as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from engine.aval import Array
from engine.kernels import cos, sin
from engine.kernels.loops import covered
from engine.ops.pointwise.arithmetic import choose_into, sign_into
from engine.ops.pointwise.elementwise import converted


class Call(NamedTuple):
    """One call: a ufunc, or the name of what is no ufunc; values by number, or constants; the result's number and dtype."""

    what: Any
    operands: tuple[Any, ...]
    dtypes: tuple[Any, ...]
    """Of the operands, as the loop takes them, and of the result."""
    result: int
    also: int = -1
    """A second result: the cosine beside the sine."""


WHOLE = {sin: "sin", cos: "cos", choose_into: "select", converted: "cast", sign_into: "sign"}
"""Functions that are one instruction themselves."""

CASTS = (("?", "d"), ("?", "f"), ("d", "f"), ("f", "d"), ("l", "d"), ("l", "f"))
"""Conversions that are, by type characters."""


class NotRecorded(Exception):
    """The function does what no list of calls says."""


class Recorder:
    """Calls in order, over values by number: given ones, and results. One for all the functions of a run."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.dtypes: list[np.dtype[Any]] = []
        """Of each value."""

    def value(self, dtype: Any) -> int:
        """A new value's number."""
        self.dtypes.append(np.dtype(dtype))
        return len(self.dtypes) - 1

    def write(self, fn: Callable[..., Any], operands: Sequence[Any], dtype: Any) -> int:
        """Record `fn(*operands, out)` for an `out` of this dtype, which is the result. Raises `NotRecorded`.

        Operands are numbers of values, or constants as NumPy scalars.
        """
        mark = len(self.calls), len(self.dtypes)
        try:
            if fn in WHOLE:
                return self._whole(WHOLE[fn], operands, np.dtype(dtype))
            out = _Stand(self, -1, np.dtype(dtype))
            fn(*self._stands(operands), out)
            if out.value < 0 or self.dtypes[out.value] != dtype:
                raise NotRecorded
            return out.value
        except Exception as error:  # whatever it does that a stand-in cannot do
            del self.calls[mark[0] :], self.dtypes[mark[1] :]
            raise NotRecorded from error

    def mask(self, fn: Callable[..., Any], operands: Sequence[Any]) -> int:
        """Record `fn(*operands)`, which makes a mask. Raises `NotRecorded`."""
        mark = len(self.calls), len(self.dtypes)
        try:
            result = fn(*self._stands(operands))
            if not isinstance(result, _Stand) or result.dtype != np.bool_:
                raise NotRecorded
            return result.value
        except Exception as error:
            del self.calls[mark[0] :], self.dtypes[mark[1] :]
            raise NotRecorded from error

    def _stands(self, operands: Sequence[Any]) -> list[Any]:
        return [_Stand(self, x, self.dtypes[x]) if isinstance(x, int) else x for x in operands]

    def _whole(self, name: str, operands: Sequence[Any], dtype: np.dtype[Any]) -> int:
        dtypes = [self.dtypes[x] if isinstance(x, int) else np.asarray(x).dtype for x in operands]
        if name == "cast":
            if (dtypes[0].char, dtype.char) not in CASTS or not isinstance(operands[0], int):
                raise NotRecorded
        elif name == "select":
            if dtypes[0] != np.bool_ or dtypes[1:] != [dtype, dtype] or dtype.itemsize not in (1, 4, 8):
                raise NotRecorded
        elif dtypes != [dtype] or dtype.char not in ("fd" if name == "sign" else "d"):
            raise NotRecorded
        fixed = [x if isinstance(x, int) else np.asarray(x) for x in operands]
        return self.call(name, fixed, (*dtypes, dtype))

    def call(self, what: Any, operands: Sequence[Any], dtypes: Sequence[Any]) -> int:
        """Note one call; its result."""
        result = self.value(dtypes[-1])
        self.calls.append(Call(what, tuple(operands), tuple(map(np.dtype, dtypes)), result))
        return result


class _Stand(NDArrayOperatorsMixin):
    """Stands for an array while a function is recorded; `value` is what has been written into it last."""

    def __init__(self, recorder: Recorder, value: int, dtype: np.dtype[Any]) -> None:
        self.recorder, self.value, self.dtype = recorder, value, dtype

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **more: Any) -> Any:
        if method != "__call__" or more or ufunc.nout != 1:
            raise NotRecorded
        kinds = [x.dtype if isinstance(x, _Stand | np.ndarray | np.generic) else type(x) for x in inputs]
        dtypes = ufunc.resolve_dtypes((*kinds, None))
        if not covered(ufunc, dtypes):
            raise NotRecorded
        for x, d in zip(inputs, dtypes, strict=False):
            if isinstance(x, _Stand) and (x.dtype != d or x.value < 0):
                raise NotRecorded  # a conversion on the way, or memory that nothing was written to
            if isinstance(x, np.ndarray) and x.shape:
                raise NotRecorded
        target = out[0] if out else _Stand(self.recorder, -1, dtypes[-1])
        if not isinstance(target, _Stand) or target.dtype != dtypes[-1]:
            raise NotRecorded
        operands = [
            x.value if isinstance(x, _Stand) else np.asarray(x, d)
            for x, d in zip(inputs, dtypes, strict=False)
        ]
        target.value = self.recorder.call(ufunc, operands, dtypes)
        return target

    def __array_function__(self, function: Any, kinds: Any, args: Any, more: Any) -> Any:
        raise NotRecorded

    def __array__(self, *args: Any, **more: Any) -> Array:
        raise NotRecorded
