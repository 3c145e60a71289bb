"""How each ONNX op is written with ours, where more is to be said than its name."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import numpy_helper

from engine.op import registry
from tests.peers.onnx_adapter import Call, NotOffered, kind_of, translation

# ---------------------------------------------------------------------------------------------------------- elementwise


@translation("Div")
def _div(c: Call) -> Any:
    y = c.add("divide", c[0], c[1])
    return c.add("astype", c.add("trunc", y), dtype="int") if c.integral(0) else y


@translation("Pow")
def _pow(c: Call) -> Any:
    y = c.add("pow", c[0], c[1])
    return c.add("astype", y, dtype="int") if c.integral(0) else y


@translation("Mod")
def _mod(c: Call) -> Any:
    y = c.add("fmod" if c.attr("fmod", 0) else "remainder", c[0], c[1])
    return c.add("astype", y, dtype="int") if c.integral(0) else y


@translation("Sum", "Max", "Min", "Mean")
def _many(c: Call) -> Any:
    if c.op in ("Max", "Min"):
        op = {"Max": "maximum", "Min": "minimum"}[c.op]
    else:
        op = "add"
    y = c.x
    for other in c.operands[1:]:
        y = c.add(op, y, other)
    return c.add("divide", y, float(len(c.operands))) if c.op == "Mean" else c.add("identity", y)


@translation("BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot", "BitShift", "BitCast")
def _bits(c: Call) -> Any:
    raise NotOffered("bits of integers")


@translation("Clip")
def _clip(c: Call) -> Any:
    return c.add("clip", c[0], c[1], c[2])


@translation("Cast", "CastLike")
def _cast(c: Call) -> Any:
    if c.op == "Cast":
        kind = kind_of(c.attr("to"))
    else:
        kind = {"f": "float", "i": "int", "b": "bool"}[c.static(1).dtype.kind]
    return c.add("astype", c.x, dtype=kind)


@translation("IsInf")
def _isinf(c: Call) -> Any:
    y = c.add("isinf", c.x)
    if not c.attr("detect_negative", 1):
        y = c.add("logical_and", y, c.add("greater", c.x, 0.0))
    if not c.attr("detect_positive", 1):
        y = c.add("logical_and", y, c.add("less", c.x, 0.0))
    return y


@translation("LeakyRelu")
def _leaky(c: Call) -> Any:
    return c.add("leaky_relu", c.x, negative_slope=c.attr("alpha", 0.01))


@translation("HardSigmoid")
def _hard_sigmoid(c: Call) -> Any:
    y = c.add("add", c.add("multiply", c.x, c.attr("alpha", 0.2)), c.attr("beta", 0.5))
    return c.add("clip", y, 0.0, 1.0)


@translation("Selu")
def _selu(c: Call) -> Any:
    if not c.attrs:
        return c.add("selu", c.x)
    return c.add("multiply", c.add("elu", c.x, alpha=c.attr("alpha", 1.67326)), c.attr("gamma", 1.0507))


@translation("Swish")
def _swish(c: Call) -> Any:
    alpha = c.attr("alpha", 1.0)
    if alpha == 1:
        return c.add("silu", c.x)
    return c.add("multiply", c.x, c.add("sigmoid", c.add("multiply", c.x, alpha)))


@translation("HardSwish")
def _hard_swish(c: Call) -> Any:
    gate = c.add("clip", c.add("add", c.add("divide", c.x, 6.0), 0.5), 0.0, 1.0)
    return c.add("multiply", c.x, gate)


@translation("Shrink")
def _shrink(c: Call) -> Any:
    lambd, bias = c.attr("lambd", 0.5), c.attr("bias", 0.0)
    high = c.add("where", c.add("greater", c.x, lambd), c.add("subtract", c.x, bias), 0.0)
    return c.add("where", c.add("less", c.x, -lambd), c.add("add", c.x, bias), high)


@translation("PRelu")
def _prelu(c: Call) -> Any:
    return c.add("where", c.add("less", c.x, 0.0), c.add("multiply", c.x, c[1]), c.x)


@translation("Dropout")
def _dropout(c: Call) -> Any:
    ratio, training = c.static(1, np.float32(0.5)), c.static(2, False)
    if bool(training) and ratio != 0:
        raise NotOffered("random numbers: a program is a pure function")
    return [c.add("identity", c.x), c.add("astype", c.add("ones_like", c.x), dtype="bool")][: c.results]


# ----------------------------------------------------------------------------------------------------------- reductions

REDUCTIONS = {
    "ReduceMax": "max", "ReduceMin": "min", "ReduceSum": "sum", "ReduceProd": "prod", "ReduceMean": "mean",
    "ReduceLogSumExp": "logsumexp", "ReduceL2": "vector_norm",
}  # fmt: skip


def _axes(c: Call, k: int = 1) -> tuple[Any, bool]:
    """The axes to reduce, None for all, and whether nothing is to be done."""
    axes = c.static(k) if c[k] is not None else c.attr("axes")
    listed = None if axes is None or np.size(axes) == 0 else [int(a) for a in np.ravel(axes)]
    return listed, listed is None and bool(c.attr("noop_with_empty_axes", 0))


@translation(*REDUCTIONS, "ReduceL1", "ReduceLogSum", "ReduceSumSquare")
def _reduce(c: Call) -> Any:
    axes, nothing = _axes(c)
    how = {"axis": axes, "keepdims": bool(c.attr("keepdims", 1))}
    x = c.x
    extreme = c.op in ("ReduceMax", "ReduceMin")
    if c.op in registry and not (extreme and c.g.value(x).size == 0):
        more = {"noop_with_empty_axes": True} if nothing else {}
        return c.add(c.op, x, axes=how["axis"], keepdims=how["keepdims"], **more)
    if c.op == "ReduceL1":
        x = c.add("abs", x)
    elif c.op == "ReduceSumSquare":
        x = c.add("square", x)
    if nothing:
        if c.op == "ReduceL2":
            return c.add("abs", x)
        return c.add("log", x) if c.op == "ReduceLogSum" else c.add("identity", x)
    if c.op in ("ReduceMax", "ReduceMin"):
        return _extreme(c, x, how)
    y = c.add(REDUCTIONS.get(c.op, "sum"), x, **how)
    return c.add("log", y) if c.op == "ReduceLogSum" else y


def _extreme(c: Call, x: str, how: dict[str, Any]) -> str:
    """Of booleans: any and all."""
    if c.g.value(x).dtype.kind == "b":
        return c.add("any" if c.op == "ReduceMax" else "all", x, **how)
    if c.g.value(x).size == 0:
        raise NotOffered("the largest of nothing: an error here")
    return c.add(REDUCTIONS[c.op], x, **how)


@translation("ArgMax", "ArgMin")
def _argmax(c: Call) -> Any:
    last = {"select_last_index": True} if c.attr("select_last_index", 0) else {}
    return c.add(c.op.lower(), c.x, axis=c.attr("axis", 0), keepdims=bool(c.attr("keepdims", 1)), **last)


@translation("CumSum", "CumProd")
def _cumulative(c: Call) -> Any:
    axis = int(c.static(1)) % len(c.shape())
    y = c.x
    if c.attr("reverse", 0):
        y = c.add("flip", y, axis=axis)
    if c.attr("exclusive", 0):
        first = [{"start": None, "stop": None, "step": None}] * axis + [
            {"start": None, "stop": -1, "step": None}
        ]
        start = np.full([1 if a == axis else n for a, n in enumerate(c.shape())], float(c.op == "CumProd"))
        start = start.astype(np.int64) if c.integral() else start
        y = c.add("concat", start, c.add("getitem", y, index=first), axis=axis)
    y = c.add(c.op.lower(), y, axis=axis)
    return c.add("flip", y, axis=axis) if c.attr("reverse", 0) else y


@translation("TopK")
def _top_k(c: Call) -> Any:
    y = c.add(
        "top_k", c.x, k=int(c.static(1).item()), axis=c.attr("axis", -1), largest=bool(c.attr("largest", 1)),
        sorted=bool(c.attr("sorted", 1)),
    )  # fmt: skip
    return c.g.items(y, 2)


@translation("LpNormalization")
def _lp_normalization(c: Call) -> Any:
    if "LpNormalization" in registry:
        return c.add("LpNormalization", c.x, **c.attrs)
    size = c.add("vector_norm", c.x, axis=c.attr("axis", -1), keepdims=True, ord=c.attr("p", 2))
    return c.add("where", c.add("equal", size, 0.0), 0.0, c.add("divide", c.x, size))


# --------------------------------------------------------------------------------------------------------------- shapes


@translation("Constant")
def _constant(c: Call) -> Any:
    (name, value), *_ = c.attrs.items()
    return c.g.constant(numpy_helper.to_array(value) if name == "value" else np.asarray(value))


@translation("ConstantOfShape")
def _constant_of_shape(c: Call) -> Any:
    value = numpy_helper.to_array(c.attrs["value"]) if "value" in c.attrs else np.zeros(1, np.float32)
    return c.add("full", value.reshape(()), shape=c.static(0))


@translation("Shape")
def _shape(c: Call) -> Any:
    y = c.add("shape", c.x)
    start, stop = c.attr("start", 0), c.attr("end")
    rank = len(c.shape())
    stop = rank if stop is None else stop
    start, stop = (max(min(n + rank if n < 0 else n, rank), 0) for n in (start, stop))
    return c.add("getitem", y, index=[{"start": start, "stop": max(stop, start), "step": None}])


@translation("Reshape")
def _reshape(c: Call) -> Any:
    own, shape = c.shape(), [int(n) for n in c.static(1)]
    if not c.attr("allowzero", 0):
        shape = [own[i] if n == 0 else n for i, n in enumerate(shape)]
    return c.add("reshape", c.x, shape=shape)


@translation("Flatten")
def _flatten(c: Call) -> Any:
    shape, axis = c.shape(), c.attr("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    return c.add("reshape", c.x, shape=[int(np.prod(shape[:axis])), int(np.prod(shape[axis:]))])


@translation("Expand")
def _expand(c: Call) -> Any:
    shape = np.broadcast_shapes(c.shape(), tuple(int(n) for n in c.static(1)))
    return c.add("broadcast_to", c.x, shape=shape)


@translation("Squeeze", "Unsqueeze")
def _squeeze(c: Call) -> Any:
    axes = c.static(1) if c[1] is not None else c.attr("axes")
    axes = None if axes is None else [int(a) for a in np.ravel(axes)]
    return c.add("squeeze" if c.op == "Squeeze" else "expand_dims", c.x, axis=axes)


@translation("Transpose")
def _transpose(c: Call) -> Any:
    return c.add("permute_dims", c.x, axes=c.attr("perm"))


@translation("Tile")
def _tile(c: Call) -> Any:
    return c.add("tile", c.x, reps=c.static(1))


@translation("Split")
def _split(c: Call) -> Any:
    axis = c.attr("axis", 0)
    n = c.shape()[axis]
    sizes = c.static(1)
    if "Split" in registry:
        how = {"num_outputs": c.attr("num_outputs", c.results)} if sizes is None else {"split": sizes}
        return c.g.items(c.add("Split", c.x, axis=axis, **how), c.results)
    if sizes is None:
        count = c.attr("num_outputs", c.results)
        each = -(-n // count)
        sizes = np.array([each] * (count - 1) + [n - each * (count - 1)])
    y = c.add("split", c.x, indices_or_sections=np.cumsum(sizes)[:-1], axis=axis)
    return c.g.items(y, len(sizes))


@translation("Slice")
def _slice(c: Call) -> Any:
    starts, ends = c.static(1), c.static(2)
    axes = c.static(3, np.arange(len(starts)))
    steps = c.static(4, np.ones(len(starts), int))
    if "Slice" in registry:
        most = 2**62  # "as far as it goes" is written with the largest integer
        ends = np.clip(ends, -most, most)
        return c.add("Slice", c.x, starts=starts, ends=ends, axes=axes, steps=steps)
    rank = len(c.shape())
    index: list[Any] = [{"start": None, "stop": None, "step": None} for _ in range(rank)]
    for start, stop, axis, step in zip(starts, ends, axes, steps, strict=True):
        n = c.shape()[axis]
        ends_before = step < 0 and stop < -n
        index[axis % rank] = {
            "start": int(np.clip(start, -n - 1, n)), "stop": None if ends_before else int(np.clip(stop, -n - 1, n)),
            "step": int(step),
        }  # fmt: skip
    return c.add("getitem", c.x, index=index)


@translation("Pad")
def _pad(c: Call) -> Any:
    shape, pads = c.shape(), [int(p) for p in c.static(1)]
    value = c.static(2, np.float32(0.0))
    axes = [int(a) for a in c.static(3, np.arange(len(shape)))]
    if "Pad" in registry:
        mode = c.attr("mode", "constant")
        return c.add(
            "Pad", c.x, pads=pads, axes=axes, mode=mode, constant_value=_written(float(value.item()))
        )
    widths = [[0, 0] for _ in shape]
    k = len(axes)
    for i, axis in enumerate(axes):
        widths[axis] = [pads[i], pads[k + i]]
    index = [
        {"start": max(-p, 0), "stop": n - max(-q, 0), "step": None}
        for n, (p, q) in zip(shape, widths, strict=True)
    ]
    x = c.add("getitem", c.x, index=index) if min(pads, default=0) < 0 else c.x
    widths = [[max(p, 0), max(q, 0)] for p, q in widths]
    mode = c.attr("mode", "constant")
    more = {"constant_values": _written(value.item())} if mode == "constant" else {}
    return c.add("pad", x, pad_width=widths, mode=mode, **more)


def _written(number: float) -> Any:
    """A number as JSON has it."""
    if np.isfinite(number):
        return number
    return "NaN" if number != number else "Infinity" if number > 0 else "-Infinity"


@translation("Size")
def _size(c: Call) -> Any:
    return c.add("size", c.x)


@translation("Trilu")
def _trilu(c: Call) -> Any:
    if "Trilu" in registry:
        return c.add("Trilu", c.x, k=int(c.static(1, 0)), upper=c.attr("upper", 1))
    return c.add("triu" if c.attr("upper", 1) else "tril", c.x, k=int(c.static(1, 0)))


@translation("EyeLike")
def _eye_like(c: Call) -> Any:
    n, m = c.shape()
    kind = kind_of(c.attrs["dtype"]) if "dtype" in c.attrs else "int" if c.integral() else "float"
    return c.add("astype", c.add("eye", n=n, m=m, k=c.attr("k", 0)), dtype=kind)


@translation("Range")
def _range(c: Call) -> Any:
    start, stop, step = (c.static(k).item() for k in range(3))
    y = c.add("arange", start=start, stop=stop, step=step)
    return c.add("astype", y, dtype="int" if isinstance(start, int) else "float")


# ------------------------------------------------------------------------------------------------------------- indexing


@translation("Gather")
def _gather(c: Call) -> Any:
    return c.add("gather", c[0], c[1], axis=c.attr("axis", 0))


@translation("GatherElements")
def _gather_elements(c: Call) -> Any:
    return c.add("gather_elements", c[0], c[1], axis=c.attr("axis", 0))


@translation("Scatter", "ScatterElements")
def _scatter(c: Call) -> Any:
    return c.add(
        "scatter_elements", c[0], c[1], c[2], axis=c.attr("axis", 0), reduction=c.attr("reduction", "none")
    )


@translation("OneHot")
def _one_hot(c: Call) -> Any:
    depth, (off, on) = int(c.static(1).item()), c.static(2)
    indices = c.static(0)
    wrapped = np.where(indices < 0, indices + depth, indices)
    if ((wrapped < 0) | (wrapped >= depth)).any():
        raise NotOffered("labels out of range: an error here")
    index = c.add("astype", c.x, dtype="int")
    if (indices < 0).any():
        index = c.add("remainder", index, np.int64(depth))
    y = c.add("one_hot", index, num_classes=depth, axis=c.attr("axis", -1))
    y = c.add("add", c.add("multiply", y, float(on - off)), float(off))
    return c.add("astype", y, dtype="int") if np.asarray(on).dtype.kind == "i" else y


@translation("Hardmax")
def _hardmax(c: Call) -> Any:
    axis = c.attr("axis", -1)
    return c.add("one_hot", c.add("argmax", c.x, axis=axis), num_classes=c.shape()[axis], axis=axis)


@translation("ReverseSequence")
def _reverse_sequence(c: Call) -> Any:
    time, batch = c.attr("time_axis", 0), c.attr("batch_axis", 1)
    lengths, shape = c.static(1), c.shape()
    n = shape[time]
    index = np.array([[*reversed(range(k)), *range(k, n)] for k in lengths])
    index = index if batch < time else index.T
    spread = np.broadcast_to(index.reshape(*index.shape, *[1] * (len(shape) - 2)), shape)
    return c.add("take_along_axis", c.x, spread, axis=time)


# ------------------------------------------------------------------------------------------------------- linear algebra


@translation("Gemm")
def _gemm(c: Call) -> Any:
    a = c.add("matrix_transpose", c[0]) if c.attr("transA", 0) else c[0]
    b = c.add("matrix_transpose", c[1]) if c.attr("transB", 0) else c[1]
    y = c.add("matmul", a, b)
    if c.attr("alpha", 1.0) != 1:
        y = c.add("multiply", y, c.attr("alpha"))
    if c[2] is None:
        return y
    bias = c[2] if c.attr("beta", 1.0) == 1 else c.add("multiply", c[2], c.attr("beta"))
    return c.add("add", y, bias)


@translation("Einsum")
def _einsum(c: Call) -> Any:
    return c.add("einsum", *c.operands, subscripts=c.attr("equation"))


# ------------------------------------------------------------------------------------------------------ neural networks


@translation("Softmax", "LogSoftmax")
def _softmax(c: Call) -> Any:
    return c.add("softmax" if c.op == "Softmax" else "log_softmax", c.x, axis=c.attr("axis", -1))


@translation("MaxPool")
def _max_pool(c: Call) -> Any:
    attrs = {k: v for k, v in c.attrs.items() if k != "storage_order"}
    return [c.add("MaxPool", c.x, **attrs)]


@translation("GlobalLpPool")
def _global_lp_pool(c: Call) -> Any:
    return c.add("GlobalLpPool", c.x, p=c.attr("p", 2))


@translation("BatchNormalization")
def _batch_norm(c: Call) -> Any:
    eps, momentum = c.attr("epsilon", 1e-5), c.attr("momentum", 0.9)
    if not c.attr("training_mode", 0):
        return c.add("BatchNormalization", *c.operands, epsilon=eps)
    y = c.add("batch_norm", c.x, None, None, c[1], c[2], training=True, eps=eps)
    axes = [a for a in range(len(c.shape())) if a != 1]
    running = [
        c.add(
            "add",
            c.add("multiply", c[k], momentum),
            c.add("multiply", c.add(op, c.x, axis=axes), 1 - momentum),
        )
        for k, op in ((3, "mean"), (4, "var"))
    ]
    return [y, *running][: c.results]


@translation("InstanceNormalization")
def _instance_norm(c: Call) -> Any:
    if "InstanceNormalization" in registry:
        return c.add("InstanceNormalization", *c.operands, **c.attrs)
    return c.add("instance_norm", c.x, None, None, c[1], c[2], eps=c.attr("epsilon", 1e-5))


@translation("GroupNormalization")
def _group_norm(c: Call) -> Any:
    if c.opset < 21:
        raise NotOffered("GroupNormalization with weights for each group, withdrawn in opset 21")
    if "GroupNormalization" in registry:
        return c.add(
            "GroupNormalization", *c.operands, **{k: v for k, v in c.attrs.items() if k != "stash_type"}
        )
    return c.add("group_norm", c.x, c[1], c[2], num_groups=c.attr("num_groups"), eps=c.attr("epsilon", 1e-5))


@translation("LayerNormalization")
def _layer_norm(c: Call) -> Any:
    axis = c.attr("axis", -1)
    shape = c.shape()[axis:]
    eps = c.attr("epsilon", 1e-5)
    scale, bias = (None if c[k] is None else c.add("broadcast_to", c[k], shape=shape) for k in (1, 2))
    if "LayerNormalization" in registry:
        y = c.add("LayerNormalization", c.x, c[1], c[2], axis=axis, epsilon=eps)
    else:
        y = c.add("layer_norm", c.x, scale, bias, normalized_shape=shape, eps=eps)
    axes = list(range(-len(shape), 0))
    mean = c.add("mean", c.x, axis=axes, keepdims=True)
    variance = c.add("var", c.x, axis=axes, keepdims=True)
    return [y, mean, c.add("reciprocal", c.add("sqrt", c.add("add", variance, eps)))][: c.results]


@translation("RMSNormalization")
def _rms_norm(c: Call) -> Any:
    if "RMSNormalization" in registry:
        return c.add("RMSNormalization", c.x, c[1], axis=c.attr("axis", -1), epsilon=c.attr("epsilon", 1e-5))
    shape = c.shape()[c.attr("axis", -1) :]
    scale = c.add("broadcast_to", c[1], shape=shape)
    return c.add("rms_norm", c.x, scale, normalized_shape=shape, eps=c.attr("epsilon", 1e-5))


@translation("SoftmaxCrossEntropyLoss")
def _cross_entropy(c: Call) -> Any:
    loss = c.add(
        "cross_entropy",
        c[0],
        c[1],
        c[2],
        reduction=c.attr("reduction", "mean"),
        ignore_index=c.attr("ignore_index", -100),
    )
    return [loss, c.add("log_softmax", c[0], axis=1)][: c.results]


@translation("NegativeLogLikelihoodLoss")
def _nll(c: Call) -> Any:
    return c.add(
        "nll_loss",
        c[0],
        c[1],
        c[2],
        reduction=c.attr("reduction", "mean"),
        ignore_index=c.attr("ignore_index", -100),
    )


@translation("Col2Im")
def _col2im(c: Call) -> Any:
    attrs = {k: c.attr(k) for k in ("dilations", "pads", "strides") if k in c.attrs}
    return c.add("Col2Im", c.x, image_shape=c.static(1), block_shape=c.static(2), **attrs)


@translation("Attention")
def _attention(c: Call) -> Any:
    """What PyTorch's has too; the rest by ONNX's own definition."""
    plain = set(c.attrs) <= {"scale", "is_causal", "q_num_heads", "kv_num_heads"}
    if not plain or c.results > 1 or any(v is not None for v in c.operands[4:]):
        return c.body()
    q, k, v = c.operands[:3]
    flat = len(c.shape(0)) == 3
    if flat:
        heads = (c.attr("q_num_heads"), c.attr("kv_num_heads"), c.attr("kv_num_heads"))
        q, k, v = (_split_heads(c, x, n) for x, n in zip((q, k, v), heads, strict=True))
    gqa = c.shape(q)[1] != c.shape(k)[1]
    attrs = {"scale": c.attr("scale")} if "scale" in c.attrs else {}
    y = c.add(
        "scaled_dot_product_attention",
        q,
        k,
        v,
        c[3],
        is_causal=bool(c.attr("is_causal", 0)),
        enable_gqa=gqa,
        **attrs,
    )
    if not flat:
        return y
    n, h, length, width = c.shape(y)
    return c.add("reshape", c.add("permute_dims", y, axes=[0, 2, 1, 3]), shape=[n, length, h * width])


def _split_heads(c: Call, x: Any, heads: int) -> str:
    n, length, width = c.shape(x)
    return c.add(
        "permute_dims", c.add("reshape", x, shape=[n, length, heads, width // heads]), axes=[0, 2, 1, 3]
    )


@translation("Resize")
def _resize(c: Call) -> Any:
    attrs = {k: c.attr(k) for k in c.attrs}
    for k, name in ((1, "roi"), (2, "scales"), (3, "sizes")):
        value = c.static(k)
        if value is not None and value.size:
            attrs[name] = value
    if attrs.get("coordinate_transformation_mode") != "tf_crop_and_resize":
        attrs.pop("roi", None)
    return c.add("Resize", c.x, **attrs)


@translation("Upsample")
def _upsample(c: Call) -> Any:
    """Withdrawn in opset 10."""
    return c.add(
        "Resize",
        c.x,
        scales=c.static(1),
        mode=c.attr("mode"),
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


# ------------------------------------------------------------------------------------------------------------- control


@translation("If")
def _if(c: Call) -> Any:
    """The branch that is taken: in bodies of functions the condition is about shapes."""
    return c.inline(c.attrs["then_branch" if c.static(0).item() else "else_branch"], [])


@translation("Scan")
def _scan(c: Call) -> Any:
    """Unrolled."""
    if c.opset < 9:
        raise NotOffered("Scan as it was before opset 9")
    graph, scanned = c.attrs["body"], c.attrs["num_scan_inputs"]
    count = len(c.operands) - scanned
    stacked = len(graph.output) - count
    axes = c.attr("scan_input_axes", [0] * scanned)
    backwards = c.attr("scan_input_directions", [0] * scanned)
    state, rows = c.operands[:count], c.operands[count:]
    length = c.shape(count)[axes[0]]
    found: list[Any] = []
    for t in range(length):
        parts = [
            c.add("take", row, np.int64(length - 1 - t if back else t), axis=axis)
            for row, axis, back in zip(rows, axes, backwards, strict=True)
        ]
        results = c.inline(graph, [*state, *parts])
        state = results[:count]
        found.append(results[count:])
    out_axes = c.attr("scan_output_axes", [0] * stacked)
    out_back = c.attr("scan_output_directions", [0] * stacked)
    ys = []
    for k, (axis, back) in enumerate(zip(out_axes, out_back, strict=True)):
        column = [row[k] for row in found]
        ys.append(c.add("stack", *(column[::-1] if back else column), axis=axis))
    return [*state, *ys]
