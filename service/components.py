"""JSON Schemas (2020-12) of what the requests and answers are made of: numbers, arrays, graphs, problems.

They are published in the OpenAPI document and nowhere used for checking: large values and graphs are read by the
engine, which knows more about them and says more of what is wrong. `ref("Value")` stands for one of them inside a
pydantic model."""

from __future__ import annotations

from typing import Any

from pydantic import WithJsonSchema

from service.problems import KINDS

Schema = dict[str, Any]

_REFERENCE = "x-component"


def ref(name: str) -> Schema:
    """A reference to a component; `resolved` makes it a `$ref`."""
    return {_REFERENCE: name}


def published(name: str) -> WithJsonSchema:
    """Annotation of a pydantic field: anything, published as this component."""
    return WithJsonSchema(ref(name))


def nullable(schema: Schema) -> WithJsonSchema:
    """Annotation of a pydantic field: anything, published as this schema or null (which means the same as absent)."""
    return WithJsonSchema({"anyOf": [schema, {"type": "null"}]})


def published_map(name: str) -> WithJsonSchema:
    """Annotation of a pydantic field: a map from node ids to this component."""
    return WithJsonSchema({"type": "object", "additionalProperties": ref(name)})


def resolved(schema: Any) -> Any:
    """A copy of a schema in which references to components are `$ref`s into an OpenAPI document."""
    if isinstance(schema, dict):
        if _REFERENCE in schema:
            return {"$ref": f"#/components/schemas/{schema[_REFERENCE]}"}
        # `"default": null` says nothing that the description does not, and fits few types.
        return {k: resolved(v) for k, v in schema.items() if not (k == "default" and v is None)}
    return [resolved(v) for v in schema] if isinstance(schema, list) else schema


_ID = {"type": "string", "minLength": 1, "maxLength": 256}
_SHAPE = {"type": "array", "items": {"type": "integer", "minimum": 0}, "maxItems": 32}
_DTYPES_IN = (
    "float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint32", "uint16", "uint8", "bool",
)  # fmt: skip

_MISTAKE: Schema = {
    "type": {"type": "string", "format": "uri-reference", "examples": ["/problems/shape-mismatch"]},
    "title": {"type": "string"},
    "status": {"type": "integer"},
    "detail": {
        "type": "string",
        "description": "What is wrong in terms of the program, and what would be right.",
    },
    "instance": {"type": "string", "format": "uri-reference"},
    "node": {"type": "string", "description": "Id of the node where it happened."},
    "pointer": {
        "type": "string",
        "description": "RFC 6901 pointer into the request; for something missing, where it should stand.",
    },
    "position": {
        "type": "object",
        "description": "Place in the program text, or in a body that is not JSON. Both count from 1, in code points.",
        "properties": {
            "line": {"type": "integer", "minimum": 1},
            "column": {"type": "integer", "minimum": 1},
        },
        "required": ["line", "column"],
        "additionalProperties": False,
    },
    "excerpt": {"type": "string", "description": "The line of program text, with a caret under the place."},
    "suggestions": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Names that may have been meant.",
    },
    "limit": {"type": "string", "description": "Name of the limit, as in GET /v1/limits."},
    "maximum": {"type": "number"},
    "actual": ref("Number"),
}
_MISTAKE_REQUIRED = ["type", "title", "status", "detail"]

COMPONENTS: dict[str, Schema] = {
    "Number": {
        "description": "A number. Non-finite ones are strings, in both directions.",
        "oneOf": [{"type": "number"}, {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}],
        "examples": [1.5, "Infinity"],
    },
    "EncodedArray": {
        "description": "An array as Tesseract encodes it: little-endian, C order.",
        "type": "object",
        "properties": {
            "object_type": {"const": "array"},
            "shape": _SHAPE,
            "dtype": {"type": "string", "enum": list(_DTYPES_IN)},
            "data": {
                "oneOf": [
                    {
                        "type": "object",
                        "properties": {
                            "encoding": {"const": "base64"},
                            "buffer": {"type": "string", "contentEncoding": "base64"},
                        },
                        "required": ["encoding", "buffer"],
                        "additionalProperties": False,
                    },
                    {
                        "type": "object",
                        "properties": {"encoding": {"const": "json"}, "buffer": ref("NestedList")},
                        "required": ["encoding", "buffer"],
                        "additionalProperties": False,
                    },
                ]
            },
        },
        "required": ["shape", "dtype", "data"],
        "additionalProperties": False,
        "examples": [
            {
                "object_type": "array",
                "shape": [2],
                "dtype": "float64",
                "data": {"encoding": "base64", "buffer": "AAAAAAAA8D8AAAAAAAAAQA=="},
            }
        ],
    },
    "NestedList": {
        "description": "A rectangular nested list of numbers or of booleans, or one of them.",
        "oneOf": [ref("Number"), {"type": "boolean"}, {"type": "array", "items": ref("NestedList")}],
    },
    "Value": {
        "description": "A number, a boolean, an array as a rectangular nested list, or an encoded array.",
        "oneOf": [ref("NestedList"), ref("EncodedArray")],
        "examples": [1.5, [[1, 2], [3, 4]], "Infinity"],
    },
    "CooBlock": {
        "description": "Structural nonzeros, row-major, over C-order flattened arrays.",
        "type": "object",
        "properties": {
            "format": {"const": "coo"},
            "shape": {
                "type": "array",
                "items": {"type": "integer", "minimum": 0},
                "minItems": 2,
                "maxItems": 2,
            },
            "row": ref("Value"),
            "col": ref("Value"),
            "data": ref("Value"),
        },
        "required": ["format", "shape", "row", "col", "data"],
        "additionalProperties": False,
    },
    "Block": {
        "description": "A block of a derivative: dense, or sparse where `sparse` was asked for.",
        "oneOf": [ref("Value"), ref("CooBlock")],
    },
    "Blocks": {
        "description": "Blocks by id of the node differentiated, then of the node differentiated by.",
        "type": "object",
        "additionalProperties": {"type": "object", "additionalProperties": ref("Block")},
    },
    "Node": {
        "type": "object",
        "properties": {
            "id": _ID,
            "op": {
                "type": "string",
                "minLength": 1,
                "description": "A name or alias from GET /v1/ops; or input, constant, item.",
            },
            "inputs": {
                "type": "array",
                "description": "Operands in NumPy's positional order: ids, numbers, booleans, lists, encoded arrays; "
                "null for an optional operand that is left out.",
                "items": {"oneOf": [{"type": "string"}, {"type": "null"}, ref("Operand")]},
            },
            "attrs": {
                "type": "object",
                "description": "Static arguments under NumPy's names, lists for tuples.",
            },
            "value": {**ref("Value"), "description": "Of an input: its default. Of a constant: its value."},
        },
        "required": ["id", "op"],
        "additionalProperties": False,
    },
    "Operand": {
        "description": "A constant operand.",
        "oneOf": [
            {"type": "number"},
            {"type": "boolean"},
            {"type": "array", "items": ref("NestedList")},
            ref("EncodedArray"),
        ],
    },
    "Graph": {
        "description": "A JSON computation graph; its nodes may stand in any order.",
        "type": "object",
        "properties": {
            "nodes": {"type": "array", "items": ref("Node")},
            "outputs": {
                "type": "array",
                "items": _ID,
                "description": "By default the nodes that nothing consumes, inputs and constants aside.",
            },
        },
        "required": ["nodes"],
        "additionalProperties": False,
        "examples": [
            {
                "nodes": [
                    {"id": "x", "op": "input"},
                    {"id": "y", "op": "input"},
                    {"id": "f", "op": "multiply", "inputs": ["x", "y"]},
                ],
                "outputs": ["f"],
            }
        ],
    },
    "Type": {
        "description": "Shape and dtype of an input.",
        "type": "object",
        "properties": {
            "shape": _SHAPE,
            "dtype": {
                "type": "string",
                "enum": ["float64", "float32", "int64", "bool"],
                "default": "float64",
            },
        },
        "required": ["shape"],
        "additionalProperties": False,
    },
    "Warning": {
        "description": "Something the answer is right about, but that one should know.",
        "type": "object",
        "properties": {
            "kind": {
                "type": "string",
                "enum": [
                    "non-finite-value",
                    "non-finite-tangent",
                    "non-finite-gradient",
                    "non-differentiable",
                    "singular-matrix",
                ],
            },
            "node": {"type": "string"},
            "operand": {"type": "string"},
            "index": {"type": "array", "items": {"type": "integer"}},
            "count": {"type": "integer"},
            "detail": {"type": "string"},
            "convention": {"type": "string"},
        },
        "required": ["kind", "detail"],
    },
    "Timing": {
        "description": "Where the time went, in milliseconds, and what was allocated.",
        "type": "object",
        "properties": {
            "parse_ms": {"type": "number"},
            "plan_ms": {"type": "number"},
            "run_ms": {"type": "number"},
            "encode_ms": {"type": "number"},
            "cached": {"type": "boolean"},
            "peak_bytes": {"type": "integer", "description": "Predicted from shapes, an upper bound."},
        },
        "required": ["parse_ms", "plan_ms", "run_ms", "encode_ms", "cached", "peak_bytes"],
    },
    "Mistake": {
        "description": "One of the mistakes found.",
        "type": "object",
        "properties": _MISTAKE,
        "required": _MISTAKE_REQUIRED,
    },
    "Problem": {
        "description": "What went wrong (RFC 9457): one of "
        + ", ".join(f"/problems/{k}" for k in KINDS)
        + ".",
        "type": "object",
        "properties": {
            **_MISTAKE,
            "errors": {
                "type": "array",
                "items": ref("Mistake"),
                "minItems": 1,
                "maxItems": 20,
                "description": "All mistakes found; the first of them is also at the top.",
            },
            "errors_omitted": {"type": "integer", "description": "How many more there are."},
        },
        "required": [*_MISTAKE_REQUIRED, "errors"],
    },
}
