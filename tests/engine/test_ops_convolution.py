"""Windows and convolutions: what is refused and how it is said, sums over the entries of a kernel, limits, transposes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import engine.ops  # fills the registry
from engine.cost import Limits
from engine.errors import EngineError, InvalidAttribute, LimitExceeded, ShapeMismatch
from engine.ops.layers import convolution
from engine.transforms.pull import vjp_graph
from tests.engine.calls import gradient, value
from tests.engine.conformance import compute
from tests.engine.helpers import ask, near
from tests.engine.test_ops_nn import case

RNG = np.random.default_rng(3)


@pytest.mark.parametrize(
    ("shape", "weight", "attrs"),
    [
        ((2, 3, 7, 6), (4, 3, 3, 2), {"stride": (2, 1), "padding": (1, 0, 2, 1)}),
        ((2, 4, 9), (6, 2, 3), {"groups": 2, "dilation": 2, "padding": 2}),
        ((3, 5, 5), (3, 1, 2, 2), {"groups": 3, "padding": "same"}),
        ((0, 2, 5), (3, 2, 2), {}),
    ],
)
def test_sum_over_entries_of_the_kernel_is_the_same(
    shape: Any, weight: Any, attrs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a convolution becomes when its windows are too many at once, with its gradients."""
    x, w = RNG.normal(size=shape), RNG.normal(size=weight)

    def all_of_it() -> list[Any]:
        c = case("conv", x, w, **attrs)
        graph = c.graph()
        ct = np.cos(np.arange(float(graph.out_avals[0].size))).reshape(graph.out_avals[0].shape)
        back = vjp_graph(graph, graph.outputs, graph.inputs, "float64")
        return [len(graph.nodes), *compute(back, [x, w, ct])]

    count, *at_once = all_of_it()
    monkeypatch.setattr(convolution, "AT_ONCE", 0)
    other, *by_entries = all_of_it()
    assert other != count or not x.size
    for a, b in zip(at_once, by_entries, strict=True):
        near(a, b, atol=1e-12)


def test_a_large_convolution_is_not_refused() -> None:
    """Its windows together have more elements than one array may have."""
    x, w = np.ones((1, 40, 60, 60)), np.ones((2, 40, 9, 9))
    limits = Limits(elements=5_000_000)
    assert limits.elements < 40 * 52 * 52 * 81
    y = ask("evaluate", "conv2d(x, w)", {"x": x, "w": w}, limits=limits)["outputs"]
    np.testing.assert_array_equal(next(iter(y.values())), np.full((1, 2, 52, 52), 40.0 * 81))


@pytest.mark.parametrize(
    ("op", "shapes", "attrs", "words"),
    [
        ("conv2d", [(8, 3, 32, 32), (4, 4, 3, 3)], {}, ["3 channels", "axis 1 of [8, 3, 32, 32]", "wants 4"]),
        ("conv2d", [(8, 3, 9, 9), (4, 2, 3, 3)], {"groups": 2}, ["wants 4", "2 in each of 2 groups"]),
        ("conv2d", [(8, 4, 9, 9), (3, 2, 3, 3)], {"groups": 2}, ["3 output channels", "2 groups"]),
        ("conv2d", [(1, 1, 2, 9), (1, 1, 3, 3)], {}, ["axis 2 of [1, 1, 2, 9]", "at least 3"]),
        ("conv1d", [(1, 1, 5), (1, 1, 3)], {"dilation": 3}, ["3 entries with dilation 3", "at least 7"]),
        ("conv1d", [(1, 1, 5), (1, 1, 3), (2,)], {}, ["bias must have shape [1]", "[2]"]),
        ("conv1d", [(5,), (1, 1, 3)], {}, ["[batch, channels, length]", "[5]"]),
        ("conv3d", [(1, 1, 5, 5), (1, 1, 3, 3)], {}, ["[out, in/groups, s0, s1, s2]"]),
        ("conv1d", [(1, 1, 5), (1, 1, 0)], {}, ["no kernel being empty"]),
        ("conv_transpose1d", [(1, 2, 5), (3, 1, 3)], {}, ["2 channels", "wants 3"]),
        ("conv_transpose1d", [(1, 2, 5), (2, 1, 3)], {"padding": 4}, ["leaves nothing"]),
        ("conv", [(1, 1, 5), (1, 1, 3)], {"kernel_shape": 2}, ["kernel_shape 2", "[1, 1, 3]"]),
        ("max_pool2d", [(3,)], {"kernel_size": 2}, ["last 2 axes", "[3]"]),
        ("adaptive_avg_pool2d", [(3, 0, 2)], {"output_size": 2}, ["not be empty"]),
        ("fold", [(1, 8, 5)], {"output_size": (3, 3), "kernel_size": 2}, ["channels·4, 4", "[2, 2] windows"]),
        ("overlap_add", [(3, 2)], {"shape": 3}, ["cover [4]"]),
        ("pixel_shuffle", [(1, 3, 2, 2)], {"upscale_factor": 2}, ["2² = 4"]),
        ("batch_norm", [(2, 3), (2,), (2,)], {}, ["running_mean", "[3]", "axis 1"]),
        ("gru_cell", [(2, 3), (2, 4), (8, 3), (12, 4)], {}, ["w_ih must have shape [12, 3]"]),
    ],
)
def test_shapes_that_do_not_fit(op: str, shapes: Any, attrs: Any, words: list[str]) -> None:
    with pytest.raises(ShapeMismatch) as error:
        value(op, *(RNG.normal(size=s) for s in shapes), **attrs)
    for word in (op, *words):
        assert word in error.value.detail


@pytest.mark.parametrize(
    ("op", "shapes", "attrs", "words"),
    [
        (
            "conv2d",
            [(1, 1, 5, 5), (1, 1, 3, 3)],
            {"stride": (1, 2, 3)},
            ["stride", "2, one for each spatial axis"],
        ),
        ("conv1d", [(1, 1, 5), (1, 1, 3)], {"groups": 0}, ["groups must be at least 1"]),
        ("conv1d", [(1, 1, 5), (1, 1, 3)], {"padding": -1}, ["padding", "-1 is below 0"]),
        ("conv1d", [(1, 1, 5), (1, 1, 3)], {"padding": "full"}, ["'full' is neither 'same' nor 'valid'"]),
        ("conv", [(1, 1, 5), (1, 1, 3)], {"padding": 1, "auto_pad": "SAME_UPPER"}, ["padding or auto_pad"]),
        ("conv_transpose1d", [(1, 1, 5), (1, 1, 3)], {"output_padding": 1}, ["smaller than the stride"]),
        ("max_pool1d", [(1, 1, 5)], {"kernel_size": 2, "padding": 2}, ["window 0", "nothing but padding"]),
        ("avg_pool1d", [(5,)], {"kernel_size": 2, "divisor_override": 0}, ["divisor_override"]),
        ("lp_pool1d", [(5,)], {"kernel_size": 2, "norm_type": -1}, ["norm_type must be above 0"]),
        ("interpolate", [(1, 1, 5)], {"size": 3, "scale_factor": 2.0}, ["either size or scale_factor"]),
        ("interpolate", [(1, 1, 5)], {"size": 3, "mode": "bilinear"}, ["for 2 axes"]),
        ("interpolate", [(1, 1, 5)], {"scale_factor": 0.1}, ["leaves nothing"]),
        (
            "Resize",
            [(5,)],
            {"sizes": 3, "coordinate_transformation_mode": "tf_crop_and_resize"},
            ["roi of 2 numbers"],
        ),
    ],
)
def test_attributes_that_do_not_fit(op: str, shapes: Any, attrs: Any, words: list[str]) -> None:
    with pytest.raises(InvalidAttribute) as error:
        value(op, *(RNG.normal(size=s) for s in shapes), **attrs)
    for word in (op, *words):
        assert word in error.value.detail


@pytest.mark.parametrize(
    ("op", "shapes", "attrs"),
    [
        ("conv1d", [(1, 1, 5), (1, 1, 3)], {"padding": 2**31}),
        ("conv_transpose1d", [(1, 1, 5), (1, 1, 3)], {"stride": 2**31}),
        ("conv_transpose", [(1, 1, 5), (1, 1, 3)], {"output_shape": 2**31}),
        ("avg_pool1d", [(0, 5)], {"kernel_size": 1, "padding": 2**31}),
        ("max_pool1d", [(0, 5)], {"kernel_size": 2**20, "stride": 1, "padding": 2**24}),
        ("adaptive_avg_pool1d", [(0, 5)], {"output_size": 2**31}),
        ("fold", [(1, 4)], {"output_size": 2**31, "kernel_size": 1, "stride": 2**30}),
        ("overlap_add", [(2, 2)], {"strides": 2**31}),
        ("interpolate", [(0, 1, 5)], {"size": 2**31}),
        ("Resize", [(5,)], {"scales": 2.0**31}),
        ("Resize", [(2**22,)], {"sizes": 500_000, "mode": "cubic", "antialias": True}),
    ],
)
def test_nothing_takes_memory_without_bound(op: str, shapes: Any, attrs: Any) -> None:
    with pytest.raises((LimitExceeded, ShapeMismatch)):
        value(op, *(np.zeros(s) for s in shapes), **attrs)


def test_same_padding() -> None:
    """As many positions as entries with stride 1, and n / stride rounded up with others; the odd one goes behind."""
    x = np.arange(1.0, 7.0).reshape(1, 1, 6)
    w = np.array([[[1.0, 10.0]]])
    near(value("conv1d", x, w, padding="same"), [[[21.0, 32.0, 43.0, 54.0, 65.0, 6.0]]])
    near(value("conv", x, w, auto_pad="SAME_LOWER"), [[[10.0, 21.0, 32.0, 43.0, 54.0, 65.0]]])
    assert value("conv1d", x, np.ones((1, 1, 3)), stride=4, padding="SAME").shape == (1, 1, 2)
    near(value("conv1d", x, w, padding="valid"), value("conv1d", x, w))


def test_transposed_convolution_is_the_pullback() -> None:
    x, w = RNG.normal(size=(2, 4, 8, 7)), RNG.normal(size=(6, 2, 3, 2))
    attrs: dict[str, Any] = {"stride": (2, 3), "padding": 1, "groups": 2, "dilation": (1, 2)}
    y = value("conv2d", x, w, **attrs)
    ct = RNG.normal(size=y.shape)
    back = gradient("conv2d", x, w, seed=ct, **attrs)
    whole = value("conv_transpose2d", ct, w, output_padding=(1, 0), **attrs)
    near(back, whole)


def test_windows_are_a_view() -> None:
    """They take no memory of their own, and cannot be written to."""
    x = np.arange(10.0)
    y = engine.ops.layers.windows.Windows().evaluate(x, sizes=(4,), strides=(2,), dilations=(1,))
    assert np.shares_memory(x, y)
    assert not y.flags.writeable
    np.testing.assert_array_equal(y, np.lib.stride_tricks.sliding_window_view(x, 4)[::2])


def test_integers_stay_integers() -> None:
    """Windows and the largest of them; averages and convolutions are floating-point numbers."""
    x = np.arange(6)
    for op, attrs in (
        ("windows", {"sizes": 2}),
        ("max_pool1d", {"kernel_size": 3, "padding": 1, "stride": 1}),
    ):
        assert value(op, x, **attrs).dtype == np.int64
    near(value("max_pool1d", -1 - x, kernel_size=3, padding=1, stride=1), [-1, -1, -2, -3, -4, -5])
    assert value("avg_pool1d", x, kernel_size=2).dtype == np.float64


@pytest.mark.parametrize("op", ["unfold", "conv2d"])
def test_a_scalar_is_refused(op: str) -> None:
    with pytest.raises(EngineError):
        value(op, 1.0, *([2.0] if op == "conv2d" else []), **({"kernel_size": 2} if op == "unfold" else {}))
