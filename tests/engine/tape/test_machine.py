"""The two machines are one text; which of them runs, how the compiled one is loaded, and what happens where it cannot be."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from engine.jit import apart, cache, memory
from engine.tape import CODES, ROWS, Tape, generate, machine, plain
from tests.engine.tape.conftest import needs_numba

HERE = Path(generate.__file__).parent
ROOT = HERE.parent.parent


@pytest.mark.parametrize("name", ["plain", "native"])
def test_the_machines_are_of_this_table(name: str) -> None:
    written = (HERE / f"{name}.py").read_text(encoding="utf-8")
    assert written == generate.source(name), "python -m engine.tape.generate has not been run"


def test_the_machines_are_one_text() -> None:
    bodies = [
        (HERE / f"{name}.py").read_text(encoding="utf-8").split("\nINF = ")[1] for name in ("plain", "native")
    ]
    assert bodies[0] == bodies[1]
    assert len(bodies[0].splitlines()) > 1000


def test_the_switch_is_a_jump(native: machine.Native) -> None:
    numba = pytest.importorskip("numba")
    module = sys.modules["engine.tape.native"]
    values = numba.njit(module.VALUES, error_model="numpy")(
        module.values.py_func
    )  # code from disk is not kept as text
    (text,) = values.inspect_llvm().values()
    switches = [len(re.findall(r"label %", block.split("]")[0])) for block in text.split("switch i")[1:]]
    assert sum(sorted(switches)[-2:]) >= len(ROWS), "the chain of comparisons was not made a switch, or two"


def one_op(op: str) -> Tape:
    """A tape of one op of one operand."""
    return Tape(np.array([0, CODES[op]], np.uint8), np.zeros((2, 3), np.int32), np.zeros(2), [0])


class State(machine.State):
    """As at the start of a process, with nothing loaded."""


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> machine.State:
    """What a process has loaded: nothing yet."""
    found = State()
    monkeypatch.setattr(machine, "STATE", found)
    monkeypatch.delenv(apart.NEVER, raising=False)
    return found


def wait(state: machine.State) -> None:
    """Until the thread that loads is through."""
    end = time.monotonic() + 120
    while state.loading and time.monotonic() < end:
        time.sleep(0.01)
    assert not state.loading


def test_little_work_loads_nothing(state: machine.State) -> None:
    for _ in range(50):
        one_op("exp").values([0.5])
    assert not state.begun


def test_work_loads_behind(state: machine.State) -> None:
    needs_numba()
    n = machine.WORTH
    ops = np.full(n, CODES["negative"], np.uint8)
    ops[0] = 0
    long = Tape(ops, np.zeros((n, 3), np.int32), np.zeros(n), [0])
    before = long.values([1.5]).v
    assert state.begun
    wait(state)
    assert isinstance(state.native, machine.Native)
    assert machine.machine(long) is state.native
    assert long.values([1.5]).v.tobytes() == before.tobytes()


def test_without_numba_the_plain_machine_serves(
    state: machine.State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    assert not machine.load()
    assert machine.machine(one_op("exp")) is machine.PLAIN
    assert one_op("exp").values([0.0]).v[1] == 1.0


def test_it_can_be_forbidden(state: machine.State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(apart.NEVER, "1")
    monkeypatch.setattr(machine, "WORTH", 1)
    assert not machine.load()
    state.begun = False
    one_op("exp").values([0.0])
    wait(state)
    assert state.native is None


def test_code_of_other_sources_is_compiled_apart(
    state: machine.State, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_numba()
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(cache, "fresh", lambda: False)
    monkeypatch.setattr(apart.subprocess, "run", run)
    monkeypatch.setattr(machine, "WORTH", 1)
    one_op("exp").values([0.0])
    wait(state)
    assert [c[1:] for c in commands] == [["-m", "engine.tape.ahead"]]
    assert state.native is None, "nothing was compiled, so nothing may be loaded: it would be compiled here"


FOLDER_TOLD = """
import json, sys
from engine.jit import cache
from engine.tape import ahead
import numba
code = ahead.main()
from engine.tape import native
print(json.dumps([code, cache.fresh(), native.values.stats.cache_path, sum(native.values.stats.cache_hits.values())]))
"""


def in_process(script: str, **env: str) -> list[object]:
    """What a process prints in its last line."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | env,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_users_folder_serves_where_ours_cannot_be_written_to(tmp_path: Path) -> None:
    needs_numba()
    script = (
        "from engine.jit import cache\n"
        "ours = cache.folders\n"
        "from pathlib import Path\n"
        "cache.folders = lambda source: [Path('nowhere\\0'), *ours(source)[1:]]\n" + FOLDER_TOLD.lstrip()
    ).replace("'nowhere\\0'", "'/proc/nowhere'")
    first = in_process(script, XDG_CACHE_HOME=str(tmp_path))
    assert first[:2] == [0, True]
    assert str(first[2]).startswith(str(tmp_path))
    second = in_process(
        script.replace("code = ahead.main()", "cache.load(); code = 0"), XDG_CACHE_HOME=str(tmp_path)
    )
    assert second == [0, True, first[2], 1], "the code on disk was not used"


def test_the_plain_machine_needs_no_numba() -> None:
    script = (
        "import json, sys, engine.ops, engine.tape\nfrom engine.tape import plain\n"
        "print(json.dumps([m for m in sys.modules if m.split('.')[0] in ('numba', 'llvmlite')]))"
    )
    assert in_process(script) == []
    assert plain.sign(-2.0) == -1.0


GIVEN_BACK = """
import json
from pathlib import Path
import numpy as np
from engine.jit import memory
from engine.tape import machine
import engine.ops
from engine.language import parse_text
from engine.derive import Request, prepare
from engine.execute.meter import Meter
from engine.values import read_value
def run():
    request = Request(parse_text("y = sin(x)*exp(x) + x**3"), {"x": read_value(0.3)})
    return dict(prepare("grad", request).run(Meter())["gradients"])
def resident():
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) / 1024
assert machine.load()
before, kept = run(), resident()
given = memory.give_back()
left = resident()
import numba
compiled = numba.njit(lambda x: 2 * x)(21.0)  # the compiler still works
print(json.dumps([given > 0, kept - left, before == run(), compiled, memory.give_back("no such library")]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells and takes")
def test_the_compilers_memory_is_given_back() -> None:
    needs_numba()
    given, megabytes, same, compiled, nothing = in_process(GIVEN_BACK)
    assert given
    assert float(str(megabytes)) > 20
    assert same
    assert compiled == 42
    assert nothing == 0


def test_only_what_is_wholly_the_files_is_given_back() -> None:
    """A table of addresses is read-only as well once it is written, and must stay."""
    smaps = "".join(
        f"{start:x}-{start + 4096:x} {flags} 0 08:01 7    {path}\nRss: 4 kB\nPrivate_Dirty: {dirty} kB\n"
        f"Shared_Dirty: 0 kB\nAnonymous: {dirty} kB\nVmFlags: rd\n"
        for start, flags, path, dirty in [
            (4096, "r-xp", "/lib/libllvmlite.so", 0),
            (8192, "r--p", "/lib/libllvmlite.so", 4),
            (12288, "rw-p", "/lib/libllvmlite.so", 0),
            (16384, "r-xp", "/lib/libother.so", 0),
            (20480, "r--p", "/a folder/libllvmlite.so", 0),
        ]
    )
    assert list(memory._clean(smaps, "libllvmlite")) == [(4096, 4096), (20480, 4096)]
