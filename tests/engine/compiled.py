"""Generated C and JavaScript, run: many units in one program, compiled once; and what they give at many inputs."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from engine.render.code import LANGUAGES, Unit
from tests.engine.units import computed

TOOLS = {"c": "gcc", "javascript": "node"}
STRICT = ("-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-ffp-contract=off")
SANITIZED = ("-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def need(language: str) -> None:
    """Skip a test whose tool is not there, unless it has to be."""
    tool = TOOLS[language]
    if shutil.which(tool) is None and os.environ.get("WENGERT_REQUIRE_TOOLS") != "1":
        pytest.skip(f"{tool} is not installed")


class Job(NamedTuple):
    """A unit, and the inputs to compute it at."""

    unit: Unit
    inputs: list[Mapping[str, Any]]


def run(
    language: str, jobs: Sequence[Job], folder: Path, flags: Sequence[str] = ("-O1",)
) -> list[list[list[Any]]]:
    """For each job and each of its inputs the results: the value, then the derivatives. Functions need distinct names."""
    texts = [LANGUAGES[language](job.unit) for job in jobs]
    assert all(text.isascii() for text in texts)
    found = in_c(jobs, texts, folder, flags) if language == "c" else in_javascript(jobs, texts, folder)
    return [
        [
            [np.asarray(v).reshape(a.shape) for v, a in zip(one, job.unit.graph.out_avals, strict=True)]
            for one in many
        ]
        for job, many in zip(jobs, found, strict=True)
    ]


# ------------------------------------------------------------------------------------------------------------------- C

_TYPES = {"float64": "double", "float32": "double", "int64": "long long", "bool": "bool"}


def blocks(texts: Sequence[str]) -> str:
    """Several files as one: helpers that are the same stand in it once."""
    seen = dict.fromkeys(block.rstrip() for text in texts for block in text.split("\n\n"))
    return "\n\n".join(b for b in seen if not b.startswith("#include"))


def scratch(text: str) -> int:
    """How many bytes of scratch memory a function asks for in its comment."""
    found = re.search(r"scratch memory, (\d+) bytes", text)
    return int(found.group(1)) if found else 0


def _caller(k: int, job: Job, text: str) -> str:
    """A function that reads inputs, calls, and writes the results; arrays are as long as they must be, not more."""
    lines = [f"static void call{k}(void) {{"]
    arguments = []
    for j, aval in enumerate(job.unit.graph.in_avals):
        kind = _TYPES[aval.dtype]
        if aval.shape:
            lines.append(f"    {kind} *x{j} = take({aval.size} * sizeof({kind}));")
            arguments.append(f"x{j}")
        else:
            lines.append(f"    {kind} *x{j} = take(sizeof({kind}));")
            arguments.append(f"*x{j}")
    outs = job.unit.graph.out_avals
    alone = not outs[0].shape
    lines += [f"    double *y{j} = make({a.size} * sizeof(double));" for j, a in enumerate(outs)]
    arguments += [f"y{j}" for j in range(alone, len(outs))]
    size = scratch(text)
    if size:
        lines.append(f"    void *work = make({size});")
        arguments.append("work")
    call = f"{job.unit.names.function}({', '.join(arguments)});"
    lines.append(f"    *y0 = {call}" if alone else f"    {call}")
    for j, a in enumerate(outs):
        lines += [f"    fwrite(y{j}, sizeof(double), {a.size}, stdout);", f"    free(y{j});"]
    lines += [f"    free(x{j});" for j in range(len(job.unit.graph.in_avals))]
    if size:
        lines.append("    free(work);")
    return "\n".join([*lines, "}"])


_MAIN = """
static void *make(size_t n) { void *p = malloc(n ? n : 1); if (!p) exit(3); memset(p, 0xA5, n); return p; }
static void *take(size_t n) { void *p = make(n); if (n && fread(p, 1, n, stdin) != n) exit(4); return p; }
"""


def in_c(
    jobs: Sequence[Job], texts: Sequence[str], folder: Path, flags: Sequence[str]
) -> list[list[list[Any]]]:
    """By the compiler, without a warning."""
    heads = "".join(f"#include <{h}.h>\n" for h in ("math", "stdbool", "stddef", "stdio", "stdlib", "string"))
    callers = [_caller(k, job, text) for k, (job, text) in enumerate(zip(jobs, texts, strict=True))]
    calls = "\n".join(
        f"    for (int i = 0; i < {len(job.inputs)}; i++) call{k}();" for k, job in enumerate(jobs)
    )
    main = f"int main(void) {{\n{calls}\n    return 0;\n}}\n"
    source = "\n\n".join([heads, _MAIN, blocks(texts), *callers, main])
    name = hashlib.sha256(source.encode()).hexdigest()[:16]
    path = folder / f"{name}.c"
    path.write_text(source, encoding="utf-8")
    program = folder / name
    built = subprocess.run(
        ["gcc", *STRICT, *flags, "-o", str(program), str(path), "-lm"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr[:4000]
    stream = b"".join(
        np.ascontiguousarray(at[i], "float64" if a.floating else a.dtype).tobytes()
        for job in jobs
        for at in job.inputs
        for i, a in zip(job.unit.inputs, job.unit.graph.in_avals, strict=True)
    )
    ran = subprocess.run([str(program)], input=stream, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr.decode()[:4000]
    numbers = np.frombuffer(ran.stdout)
    found: list[list[list[Any]]] = []
    at = 0
    for job in jobs:
        found.append([])
        for _ in job.inputs:
            found[-1].append([])
            for a in job.unit.graph.out_avals:
                found[-1][-1].append(numbers[at : at + a.size])
                at += a.size
    assert at == len(numbers)
    return found


# ---------------------------------------------------------------------------------------------------------- JavaScript


def _literal(x: Any) -> str:
    if isinstance(x, list):
        return f"[{','.join(map(_literal, x))}]"
    if isinstance(x, bool):
        return "true" if x else "false"
    if isinstance(x, float) and not math.isfinite(x):
        return "NaN" if x != x else "Infinity" if x > 0 else "-Infinity"
    return repr(x)


_SHOW = """\
const show = (v) => (Array.isArray(v) ? v.map(show) : Object.is(v, -0) ? "-0" : String(v));
const all = [];
"""


def in_javascript(jobs: Sequence[Job], texts: Sequence[str], folder: Path) -> list[list[list[Any]]]:
    """By Node.js: each function a module."""
    lines = [_SHOW]
    for job, text in zip(jobs, texts, strict=True):
        lines.append(
            f"all.push((function () {{ const module = {{ exports: {{}} }};\n{text}\nconst f = module.exports;"
        )
        lines.append("return [")
        for at in job.inputs:
            given = ",".join(_literal(np.asarray(at[i]).tolist()) for i in job.unit.inputs)
            lines.append(
                f"((r) => [show(r.value), ...Object.values(r.gradients || r.derivatives).map(show)])(f({given})),"
            )
        lines.append("]; })());")
    lines.append("process.stdout.write(JSON.stringify(all));")
    path = folder / "run.js"
    path.write_text("\n".join(lines), encoding="utf-8")
    ran = subprocess.run(["node", str(path)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[:4000]
    found: list[list[list[Any]]] = json.loads(ran.stdout)
    return [[[np.array(v, dtype="U32").astype(np.float64) for v in one] for one in many] for many in found]


# ---------------------------------------------------------------------------------------------------------- comparison


def distance(found: Any, right: Any) -> float:
    """How far results are apart, relative to each entry, or to a hundredth of the largest one where it is smaller."""
    x, r = np.asarray(found, np.float64), np.asarray(right, np.float64)
    with np.errstate(all="ignore"):
        scale = 1e-2 * np.abs(r[np.isfinite(r)]).max(initial=0.0)
        same = (x == r) | (np.isnan(x) & np.isnan(r))
        apart = np.where(same, 0.0, np.abs(x - r) / np.maximum(np.maximum(np.abs(r), scale), 1e-300))
    return float(np.where(np.isnan(apart), np.inf, apart).max(initial=0.0))


def disagreements(jobs: Sequence[Job], found: Sequence[Any], tolerance: float = 1e-12) -> list[str]:
    """What is not as the service has it."""
    wrong = []
    for job, many in zip(jobs, found, strict=True):
        for at, results in zip(job.inputs, many, strict=True):
            right = computed(job.unit, at)
            for k, (x, r) in enumerate(zip(results, right, strict=True)):
                if not distance(x, r) <= tolerance:
                    name = job.unit.derivatives[k - 1].key if k else "value"
                    shown = {i: np.asarray(v).tolist() for i, v in at.items()}
                    wrong.append(
                        f"{job.unit.names.function} {name} at {str(shown)[:300]}: {str(x.tolist())[:200]},"
                        f" not {str(np.asarray(r).tolist())[:200]}"
                    )
    return wrong
