"""Ids, which are any text, as identifiers that are good in Python, C and JavaScript."""

from __future__ import annotations

import builtins
import keyword
import os
import re
import shutil
import subprocess
from itertools import pairwise

import pytest

from engine.render.code.identifiers import LONGEST, Namespace, identifiers, plain
from engine.render.code.reserved import MATH, is_reserved

HOSTILE = [
    "x", "λ", "my id!", "1x", "_x", "__init__", "中文", "x'", "x²", "é", "e\u0301", "class", "sin", "np", "x\\", '"""',
    "'''", "*/", "//", "</script>", "${x}", "`", "x; y", "#", "??/", "{0}", "%s", "a" * 256, "a" * 255 + "b", "\u202e", "😀",
    "lambda", "lambda_", "function", "int", "restrict", "let", "NaN ", "undefined", "None", "print", "exp", "expf", "y0", "I",
    "x y", "x_y", "x__y", "x-y", "X", "ﬀ", "ｘ", "ß", "∂x/∂y", "1", "١", "true", "double", "self", "EOF", "-", "x,y",
]  # fmt: skip


def test_readable() -> None:
    assert [plain(s) for s in ["x", "λ", "my id!", "1x", "θ₁", "x'", "é", "sin", "中"]] == [
        "x", "lambda_", "my_id", "v_1x", "theta1", "x_prime", "e", "sin_", "v",
    ]  # fmt: skip


def test_valid_and_distinct() -> None:
    found = identifiers(HOSTILE, [(i, (i,)) for i in HOSTILE], "of this", "def")
    names = [*found.ids.values(), found.function]
    assert len(set(names)) == len(names) == len(HOSTILE) + 2
    for name in names:
        assert re.fullmatch("[A-Za-z][A-Za-z0-9_]{0,62}", name), name
        assert len(name) <= LONGEST + 8
        assert not keyword.iskeyword(name)
        assert not keyword.issoftkeyword(name)
        assert not hasattr(builtins, name)
        assert not is_reserved(name)
    assert found.keys == tuple(found.ids[i] for i in HOSTILE)
    again = identifiers(HOSTILE, [(i, (i,)) for i in HOSTILE], "of this", "def")
    assert again.ids == found.ids
    assert again.keys == found.keys


def test_a_good_id_is_kept_whatever_comes_before_it() -> None:
    found = identifiers(["λ", "x y", "lambda_", "x_y", "x_y_2", "f"], [], "f", "f")
    assert [found.ids[i] for i in ("lambda_", "x_y", "x_y_2", "f")] == ["lambda_", "x_y", "x_y_2", "f"]
    assert found.ids["λ"] == "lambda_2"
    assert found.ids["x y"] == "x_y_3"
    assert found.function == "f_and_derivatives"


def test_keys_of_mixed_derivatives() -> None:
    both = [("x", ("x",)), ("x,λ", ("x", "λ")), ("x,x", ("x", "x", "x")), ("λ,x", ("λ", "x"))]
    found = identifiers(["x", "λ", "x_lambda_"], [*both, ("x_lambda_", ("x_lambda_",))], "y", "f")
    assert found.keys == ("x", "x_lambda", "x_2", "lambda_x", "x_lambda_")


def test_ids_of_c_that_math_has() -> None:
    assert all(is_reserved(name + kind) for name in MATH for kind in ("", "f", "l"))


def test_many_alike_take_linear_time() -> None:
    looked = 0

    class Counted(set[str]):
        def __contains__(self, name: object) -> bool:
            nonlocal looked
            looked += 1
            return super().__contains__(name)

    counts = []
    for n in (1000, 2000, 4000):
        looked = 0
        space = Namespace()
        space._taken = Counted()
        assert len({space.take("v") for _ in range(n)}) == n
        counts.append(looked)
    assert all(b <= 2.1 * a for a, b in pairwise(counts))


@pytest.mark.parametrize(
    ("tool", "command", "text"),
    [
        ("gcc", ["gcc", "-std=c99", "-pedantic-errors", "-Wall", "-Werror", "-x", "c", "-fsyntax-only", "-"],
         "#include <math.h>\n#include <complex.h>\n#include <stdlib.h>\n#include <stdio.h>\n#include <string.h>\n"
         "#include <stdint.h>\n#include <float.h>\n#include <limits.h>\n#include <assert.h>\n#include <errno.h>\n"
         "void f({c});\nvoid f({c}) {{ {zero} }}\n"),
        ("node", ["node", "--check", "-"], '"use strict";\nasync function* f({js}) {{ return 0; }}\n'),
    ],
)  # fmt: skip
def test_compilers_take_them(tool: str, command: list[str], text: str) -> None:
    if shutil.which(tool) is None and os.environ.get("WENGERT_REQUIRE_TOOLS") != "1":
        pytest.skip(f"{tool} is not there")
    names = list(identifiers(HOSTILE, [], HOSTILE[0], "f").ids.values())
    names = sorted({*names, *map(plain, MATH)})
    code = text.format(
        c=", ".join(f"double {n}" for n in names),
        js=", ".join(names),
        zero=" ".join(f"(void){n};" for n in names),
    )
    done = subprocess.run(command, input=code, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
