"""From an ONNX model of a few nodes to a JSON graph of this engine, with the arrays of a test as its inputs.

A translation (`tests.peers.onnx_ops`) writes one ONNX node as nodes of ours. A node without one is written as the op of exactly
that name, attributes as they are; if there is none, by the body that ONNX itself defines for it; else it is `Missing`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import defs, helper, numpy_helper

from engine.op import registry
from tests.engine.helpers import ask

Translation = Callable[["Call"], Any]
TRANSLATIONS: dict[str, Translation] = {}
"""By name of the ONNX op. A translation returns the id of its result, or a list of them (None: not offered)."""

DTYPES = {
    **dict.fromkeys(("FLOAT", "DOUBLE"), "float"),
    **dict.fromkeys(("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"), "int"),
    "BOOL": "bool",
}
"""The kinds of tensors that there are here."""


OWN_NAMES = {"Flatten", "Gemm", "HardSigmoid", "Max", "Mean", "Min", "Mod", "PRelu", "Sum"}
"""ONNX ops that the catalogue may have just as they are (`is_own`); their translations are for when it does not."""


class Missing(Exception):
    """An op that is not in the catalogue."""


class NotOffered(Exception):
    """Something that is out of scope, with the reason."""


def translation(*names: str) -> Callable[[Translation], Translation]:
    """Register a translation for ONNX ops."""

    def register(f: Translation) -> Translation:
        for name in names:
            assert name not in TRANSLATIONS
            TRANSLATIONS[name] = f
        return f

    return register


class Document:
    """A JSON graph that is being written, and the values of its inputs."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.nodes: list[dict[str, Any]] = []
        self.inputs: dict[str, Any] = {}
        self.used: set[str] = set()
        self._values: dict[str, Any] = {}
        self._entries: dict[str, dict[str, Any]] = {}

    def constant(self, value: Any) -> str:
        """An input of that value."""
        array = np.asarray(value)
        if array.dtype.kind in "iu":
            if array.size and array.max() > 2**63 - 1:
                raise NotOffered("integers beyond 63 bits")
            array = array.astype(np.int64)
        elif array.dtype.kind not in "fb" or array.dtype.itemsize == 2:
            raise NotOffered(f"tensors of {array.dtype}")
        name = self._new({"op": "input"})
        self.inputs[name] = self._values[name] = array
        return name

    def add(self, op: str, *operands: Any, **attrs: Any) -> str:
        """A node; operands are ids, None, or numbers and arrays."""
        found = registry.get(op) if op in registry else None
        if found is None:
            raise Missing(op)
        self.used.add(found.name)
        refs = [v if v is None or isinstance(v, str) else self.constant(v) for v in operands]
        while refs and refs[-1] is None:
            refs.pop()
        return self._new({"op": op, "inputs": refs, "attrs": {k: jsonable(v) for k, v in attrs.items()}})

    def items(self, node: str, count: int) -> list[str]:
        """The results of a node with several."""
        return [self._new({"op": "item", "inputs": [node], "attrs": {"index": k}}) for k in range(count)]

    def _new(self, entry: dict[str, Any]) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append({"id": name, **entry})
        self._entries[name] = self.nodes[-1]
        return name

    def value(self, name: str) -> Any:
        """The value of a node, computed by the engine, for what must be known before a node can be written."""
        if name not in self._values:
            needed: dict[str, None] = {}
            todo = [name]
            while todo:
                one = todo.pop()
                if one in needed:
                    continue
                needed[one] = None
                if one not in self._values:
                    todo += [v for v in self._entries[one].get("inputs", ()) if isinstance(v, str)]
            nodes = [
                {"id": n["id"], "op": "input"} if n["id"] in self._values else n
                for n in self.nodes
                if n["id"] in needed
            ]
            inputs = {n["id"]: self._values[n["id"]] for n in nodes if n["op"] == "input"}
            self._values[name] = self.ask(nodes, [name], inputs)[0]
        return self._values[name]

    def ask(self, nodes: Sequence[Any], outputs: Sequence[str], inputs: Any) -> list[Any]:
        """Values of some nodes."""
        if all(o in inputs for o in outputs):
            return [np.asarray(inputs[o]) for o in outputs]
        answer = ask("evaluate", {"nodes": list(nodes), "outputs": list(outputs)}, inputs, dtype=self.dtype)
        return [np.asarray(answer["outputs"][o]) for o in outputs]

    def run(self, outputs: Sequence[str]) -> list[Any]:
        """The whole program at once."""
        distinct = list(dict.fromkeys(outputs))
        values = dict(zip(distinct, self.ask(self.nodes, distinct, self.inputs), strict=True))
        return [values[o] for o in outputs]


def jsonable(value: Any) -> Any:
    """An attribute as JSON has it."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple | list):
        return [jsonable(v) for v in value]
    return value


class Call:
    """One ONNX node: its operands as ids of the document, its attributes, how many results are asked for."""

    def __init__(
        self,
        document: Document,
        node: Any,
        operands: list[str | None],
        names: dict[str, str | None],
        opsets: dict[str, int],
    ) -> None:
        self.g = document
        self.names = names
        self.opsets = opsets
        self.opset = opsets.get(node.domain, 1)
        self.node = node
        self.op = node.op_type
        self.operands = operands
        self.attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        self.results = len(node.output)

    def __getitem__(self, k: int) -> str | None:
        return self.operands[k] if k < len(self.operands) else None

    @property
    def x(self) -> str:
        """The first operand."""
        assert self.operands[0] is not None
        return self.operands[0]

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return jsonable(self.attrs.get(name, default))

    def static(self, k: int, default: Any = None) -> Any:
        """The value of an operand that is a parameter rather than data."""
        operand = self[k]
        return default if operand is None else np.asarray(self.g.value(operand))

    def shape(self, k: int | str = 0) -> tuple[int, ...]:
        """The shape of an operand, or of a node."""
        name = self[k] if isinstance(k, int) else k
        assert name is not None
        return tuple(np.shape(self.g.value(name)))

    def integral(self, k: int = 0) -> bool:
        """Whether an operand holds integers."""
        name = self[k]
        assert name is not None
        return bool(np.asarray(self.g.value(name)).dtype.kind == "i")

    def add(self, op: str, *operands: Any, **attrs: Any) -> str:
        """A node."""
        return self.g.add(op, *operands, **attrs)

    def inline(self, graph: Any, operands: Sequence[str | None]) -> list[str | None]:
        """The results of a graph that is an attribute; it sees the names around it."""
        names = {**self.names, **dict(zip((v.name for v in graph.input), operands, strict=True))}
        for tensor in graph.initializer:
            names[tensor.name] = self.g.constant(numpy_helper.to_array(tensor))
        translate(self.g, graph.node, names, self.opsets)
        return [names[v.name] for v in graph.output]

    def body(self) -> list[str | None]:
        """This node, as ONNX defines it by other ops."""
        return body(self, self.node, self.opsets)


def translate(
    document: Document, nodes: Sequence[Any], names: dict[str, str | None], opsets: dict[str, int]
) -> None:
    """Write nodes; `names` maps ONNX values to ids, and is added to."""
    for node in nodes:
        operands = [names[n] if n else None for n in node.input]
        call = Call(document, node, operands, names, opsets)
        results = _written(call, node, opsets)
        listed = results if isinstance(results, list) else [results]
        padded = [*listed, *[None] * len(node.output)][: len(node.output)]
        names.update(zip(node.output, padded, strict=True))


def _written(call: Call, node: Any, opsets: dict[str, int]) -> Any:
    if node.domain not in ("", "ai.onnx"):
        return body(call, node, opsets)
    op = node.op_type
    if op in TRANSLATIONS and not is_own(call):
        return TRANSLATIONS[op](call)
    if op in registry:
        return call.add(op, *call.operands, **call.attrs)
    return body(call, node, opsets)


def is_own(call: Call) -> bool:
    """Whether the catalogue has the very op: not just NumPy's or PyTorch's of that name."""
    found = registry.get(call.op) if call.op in OWN_NAMES and call.op in registry else None
    if found is None:
        return False
    if call.op == "PRelu":  # PyTorch's slopes are those of channels
        return call.shape(0) == call.shape(1)
    return call.op in ("Flatten", "Gemm") or found.name == call.op


def body(call: Call, node: Any, opsets: dict[str, int]) -> list[str | None]:
    """A node written as ONNX's own definition of it by other ops. Raises `Missing` if there is none."""
    try:
        schema = defs.get_schema(node.op_type, opsets.get(node.domain, 1), node.domain)
    except defs.SchemaError:
        raise Missing(node.op_type) from None
    if schema.has_function:
        function = schema.function_body
    elif schema.has_context_dependent_function:
        types = [b"" if v is None else _type_of(call.g.value(v)).SerializeToString() for v in call.operands]
        function = onnx.FunctionProto()
        text = schema.get_context_dependent_function(node.SerializeToString(), types)
        function.ParseFromString(text)
    else:
        raise Missing(node.op_type)
    given = {a.name: a for a in node.attribute}
    for attribute in function.attribute_proto:
        given.setdefault(attribute.name, attribute)
    defaults = {name: a.default_value for name, a in schema.attributes.items() if a.default_value.type}
    given = defaults | given
    inner: dict[str, str | None] = dict.fromkeys(function.input)
    inner |= dict(zip(function.input, call.operands, strict=False))
    nodes = [_filled(n, given) for n in function.node]
    translate(call.g, nodes, inner, {"": 0, **{o.domain: o.version for o in function.opset_import}})
    return [inner.get(name) for name in function.output]


def _type_of(value: Any) -> Any:
    array = np.asarray(value)
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def _filled(node: Any, given: dict[str, Any]) -> Any:
    """A node of a function's body with the attributes that refer to the function's own."""
    filled = onnx.NodeProto()
    filled.CopyFrom(node)
    del filled.attribute[:]
    for attribute in node.attribute:
        if attribute.ref_attr_name:
            if attribute.ref_attr_name in given:
                one = filled.attribute.add()
                one.CopyFrom(given[attribute.ref_attr_name])
                one.name = attribute.name
        else:
            filled.attribute.add().CopyFrom(attribute)
    return filled


def kind_of(tensor_type: int) -> str:
    """float, int or bool. Raises `NotOffered` for other tensors."""
    name = onnx.TensorProto.DataType.Name(tensor_type)
    if name not in DTYPES:
        raise NotOffered(f"tensors of {name.lower()}")
    return DTYPES[name]


def prepare(model: Any, arrays: Sequence[Any]) -> tuple[Document, list[str | None], list[str]]:
    """A model as a document with the arrays as inputs: the document, ids of the outputs, and their kinds."""
    graph = model.graph
    for value in (*graph.input, *graph.output):
        which = value.type.WhichOneof("value")
        if which != "tensor_type":
            raise NotOffered(f"values that are a {which.removesuffix('_type')}")
        kind_of(value.type.tensor_type.elem_type)
    doubles = any(
        v.type.tensor_type.elem_type == onnx.TensorProto.DOUBLE for v in (*graph.input, *graph.output)
    )
    document = Document("float64" if doubles else "float32")
    names: dict[str, str | None] = {
        v.name: document.constant(a) for v, a in zip(graph.input, arrays, strict=True)
    }
    for tensor in graph.initializer:
        names[tensor.name] = document.constant(numpy_helper.to_array(tensor))
    translate(document, graph.node, names, {o.domain: o.version for o in model.opset_import})
    outputs = [names[v.name] for v in graph.output]
    return document, outputs, [kind_of(v.type.tensor_type.elem_type) for v in graph.output]
