"""Functions that people look for and that are not offered: why, and what to do instead. Both readers say it.

A shape that depends on data cannot be known before anything runs; complex numbers, random numbers, and what changes an
array in place are no part of what a program is (a pure function of real arrays).
"""

from __future__ import annotations

from engine.op import registry

_SHAPE = "The shape of {name}({args}) depends on the values, and shapes must be known before anything runs: {instead}."


def _shape(name: str, args: str, instead: str) -> tuple[str, str]:
    return name, _SHAPE.format(name=name, args=args, instead=instead)


_MASK = "where(mask, x, 0) keeps the shape, sum(mask) counts"
_DEPENDS = dict(
    [
        _shape("nonzero", "x", "x != 0 is a mask of the places, count_nonzero(x) their number"),
        _shape("flatnonzero", "x", "x != 0 is a mask of the places, count_nonzero(x) their number"),
        _shape("argwhere", "x", "x != 0 is a mask of the places, count_nonzero(x) their number"),
        _shape("extract", "mask, x", _MASK),
        _shape("compress", "mask, x", _MASK),
        _shape("masked_select", "x, mask", _MASK),
        _shape("boolean_mask", "x, mask", _MASK),
        _shape("unique", "x", "sort(x) puts equal entries side by side, bincount(x, minlength=n) counts integers"),
        _shape("unique_values", "x", "sort(x) puts equal entries side by side"),
        _shape("unique_counts", "x", "bincount(x, minlength=n) counts integers"),
        _shape("union1d", "x, y", "sort(concat(x, y)) holds all entries"),
        _shape("intersect1d", "x, y", "any(x[:, None] == y, axis=1) is a mask of the entries of x that are in y"),
        _shape("setdiff1d", "x, y", "any(x[:, None] == y, axis=1) is a mask of the entries of x that are in y"),
        _shape("trim_zeros", "x", "a slice with constant bounds"),
        _shape("histogram_bin_edges", "x", "linspace(min(x), max(x), n + 1) are n equal bins"),
    ]
)  # fmt: skip

_HISTOGRAM = (
    "Histograms are not offered under this name: counts have no derivative. bincount(digitize(x, edges), minlength=n) "
    "counts the entries between edges, with weights=w it adds up their weights."
)
_RANDOM = (
    "Random numbers are not offered: a program is a function of its inputs alone. Draw them outside, and give them as an "
    "input."
)
_RANDOMS = (
    "rand", "randn", "randint", "random_sample", "default_rng", "shuffle", "permutation", "bernoulli", "multinomial",
)  # fmt: skip
_COMPLEX = (
    "Complex numbers are not offered: every array is real. Write real and imaginary part as two expressions."
)
_FOURIER = (
    "Fourier transforms are not offered: they are complex, and every array is real. A cosine or sine transform is a "
    "product with a matrix of cosines or sines; convolve(a, v) needs none."
)
_IN_PLACE = "{0} changes its array, and nothing is changed in place here: {1} is the new array."
_FUNCTION = "{0} takes a function, and functions are no values here: operations work on whole arrays."

REFUSED: dict[str, str] = {
    **_DEPENDS,
    **dict.fromkeys(("histogram", "histogram2d", "histogramdd", "histc"), _HISTOGRAM),
    **dict.fromkeys(_RANDOMS, _RANDOM),
    **dict.fromkeys(("conj", "conjugate", "angle", "real_if_close", "imag", "iscomplex"), _COMPLEX),
    **dict.fromkeys(("fft", "ifft", "rfft", "irfft", "fft2", "ifft2", "fftn", "ifftn", "hfft"), _FOURIER),
    "roots": "Roots of polynomials may be complex, and every array is real. A real one is where polyval(p, x)**2 is least.",
    "poly": "poly (coefficients from roots) is not offered: multiply polynomials with convolve(p, q).",
    "polyfit": "polyfit is not offered under this name: it is least squares with the columns x**2, x, 1.",
    "put": _IN_PLACE.format("put", "x.at[i].set(v), or scatter_set(x, i, v),"),
    "place": _IN_PLACE.format("place", "where(mask, v, x)"),
    "putmask": _IN_PLACE.format("putmask", "where(mask, v, x)"),
    "copyto": _IN_PLACE.format("copyto", "where(mask, v, x), or the value itself,"),
    "index_put": _IN_PLACE.format("index_put", "x.at[i].set(v), or scatter_set(x, i, v),"),
    "partition": "partition leaves open in which order the parts are; sort(x) is a partition, too.",
    "argpartition": "argpartition leaves open in which order the parts are; argsort(x) is one, too.",
    "lexsort": "lexsort is not offered: a stable argsort by the last key, then by the one before it, and so on, is the same.",
    "msort": "msort is sort(x, axis=0).",
    "ediff1d": "ediff1d is diff(ravel(x)), with append and prepend for what is put around it.",
    "mode": "mode (the most frequent value) has no derivative; argmax(bincount(x, minlength=n)) is that of integers.",
    "piecewise": "piecewise is nested where: where(c1, x1, where(c2, x2, default)).",
    "block": "block is concat in concat: concat([concat([A, B], axis=1), concat([C, D], axis=1)]).",
    "bmat": "bmat is concat in concat: concat([concat([A, B], axis=1), concat([C, D], axis=1)]).",
    "ix_": "ix_ is not needed: x[i[:, None], j] has the rows i and the columns j.",
    "diag_indices": "diag_indices is not needed: diagonal(x) reads a diagonal, fill_diagonal(x, v) writes one.",
    **{
        name: _FUNCTION.format(name)
        for name in ("apply_along_axis", "apply_over_axes", "fromfunction", "frompyfunc", "fromiter")
    },
    "empty": "empty (an array of anything) is not offered: zeros(shape) is.",
    "empty_like": "empty_like (an array of anything) is not offered: zeros_like(x) is.",
    "packbits": "Bits are not offered: arrays hold floats, integers and booleans.",
    "unpackbits": "Bits are not offered: arrays hold floats, integers and booleans.",
}  # fmt: skip

for _name, _reason in REFUSED.items():
    registry.refuse(_name, _reason)
