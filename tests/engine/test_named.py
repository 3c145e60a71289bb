"""Numbers by id that stay in their array: a mapping like the dictionary that it stands for."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from engine.derive import Plans, Request, prepare
from engine.derive.named import Named, as_dicts
from engine.execute.meter import Meter
from engine.language import parse_text
from engine.values import read_value

TEXT = "a = x * y\nb = a > 2\nc = where(b, sin(a), a)\nc"
INPUTS = {"x": 1.5, "y": 2.0}
"""a is 3, so that b is true."""
FIELDS = {
    "evaluate": ("outputs", "values"),
    "grad": ("outputs", "values", "gradients"),
    "jvp": ("outputs", "values", "output_tangents", "node_tangents"),
}


def answer(verb: str, **fields: Any) -> dict[str, Any]:
    inputs = {name: read_value(x) for name, x in INPUTS.items()}
    return prepare(verb, Request(parse_text(TEXT), inputs, **fields)).run(Meter())


@pytest.mark.parametrize("verb", FIELDS)
def test_as_the_dictionary(verb: str) -> None:
    tangents = {"x": read_value(1.0)} if verb == "jvp" else {}
    found = answer(verb, **({"tangents": tangents} if tangents else {}))
    dicts = as_dicts(dict(found))
    for field in FIELDS[verb]:
        named, plain = found[field], dicts[field]
        assert type(named) is Named
        assert type(plain) is dict
        assert named == plain
        assert plain == named
        assert list(named) == list(plain) == list(named.keys())
        assert list(named.items()) == list(plain.items())
        assert list(named.values()) == list(plain.values())
        assert len(named) == len(plain)
        assert [named[name] for name in plain] == list(plain.values())
        assert {name: type(named[name]) for name in plain} == {k: type(v) for k, v in plain.items()}
        assert repr(named) == repr(plain)
        assert "c" in named
        assert "nobody" not in named
        with pytest.raises(KeyError):
            named["nobody"]
    assert found["values"]["b"] is True
    orjson.dumps(dicts)


def test_each_answer_has_numbers_of_its_own() -> None:
    """A job that is kept runs again: what it gave before stays."""
    plans = Plans(most_bytes=1 << 20)
    program = parse_text(TEXT)
    found = []
    for x in (1.5, 2.5):
        inputs = {"x": read_value(x), "y": read_value(2.0)}
        found.append(prepare("grad", Request(program, inputs), plans=plans).run(Meter()))
    assert [f["values"]["a"] for f in found] == [3.0, 5.0]
