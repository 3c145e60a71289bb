"""Every example in README.md and docs/ is run: commands against a real server on a real port, with real curl and bash.

A `console` block holds commands (`$ …`, which may go on over several lines) and what they answer. JSON answers are
compared as JSON, in which `…` stands for what is left out: the rest of a string or the middle of a number, a value, more
fields of an object, or entries of a list. A `python` block is run, and the `text` block behind it, if there is one, is what it
prints. Blocks marked `console no-run` are shown only; each says why in a comment beside it.

A command that asks for a program by its name can rely on the command of the same page that registers it.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
HERE = re.compile(r"(?:localhost|127\.0\.0\.1):8000")
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
MORE = "…"
"""What is left out of an answer that is shown."""
FENCE = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<body>.*?)^```$", re.M | re.S)


def blocks(page: Path) -> list[tuple[str, str]]:
    """The fenced blocks of a page: (info string, content)."""
    return [(m["kind"].strip(), m["body"]) for m in FENCE.finditer(page.read_text(encoding="utf-8"))]


def commands(body: str) -> list[tuple[str, str]]:
    """(command, expected output) pairs of a console block."""
    found: list[tuple[str, list[str]]] = []
    lines = iter(body.splitlines())
    for line in lines:
        if line.startswith("$ "):
            command = line[2:]
            while command.endswith("\\") or command.count("'") % 2:
                command += "\n" + next(lines)
            found.append((command, []))
        else:
            assert found, f"output before the first command: {line}"
            found[-1][1].append(line)
    return [(c, "\n".join(out).strip()) for c, out in found]


def _with_programs(command: str, listed: list[tuple[str, str]]) -> str:
    """The command, behind those of the page that register the programs that it names."""
    before = []
    for name in re.findall(r"/v1/graphs/([\w.-]+)/", command):
        if f'"name": "{name}"' in command:
            continue
        made = [
            c
            for kind, body in listed
            if kind == "console"
            for c, _ in commands(body)
            if f'"name": "{name}"' in c
        ]
        before += [f"{c} > /dev/null" for c in made[:1]]
    return " &&\n".join([*before, command])


def cases(kind: str) -> list[Any]:
    """One pytest parameter for each example of a kind."""
    out = []
    for page in PAGES:
        if not page.exists():
            continue
        name = page.relative_to(ROOT)
        listed = blocks(page)
        for k, (info, body) in enumerate(listed):
            if kind == "console" and info == "console":
                out += [
                    pytest.param(_with_programs(c, listed), e, id=f"{name}:{k}:{n}")
                    for n, (c, e) in enumerate(commands(body))
                ]
            if kind == "python" and info == "python":
                follows = listed[k + 1] if k + 1 < len(listed) else ("", "")
                out.append(pytest.param(body, follows[1] if follows[0] == "text" else "", id=f"{name}:{k}"))
    return out


def read(text: str) -> Any:
    """An answer as it is shown: JSON, with `…` for what is left out. Raises ValueError if it is something else."""
    found, open_, key = [], [""], False
    for token in TOKEN.findall(text):
        if MORE in token and not token.startswith('"'):
            found.append(f'"{MORE}": "{MORE}"' if key else json.dumps(token))
        else:
            found.append(token)
        if token in "{[":
            open_.append(token)
        elif token in "}]":
            open_.pop()
        key = token in ("{", ",") and open_[-1] == "{"
    return json.loads("".join(found))


def matches(expected: Any, actual: Any) -> bool:
    """Whether an answer is the documented one."""
    if isinstance(expected, str) and MORE in expected:
        begin, _, end = expected.partition(MORE)
        shown = actual if isinstance(actual, str) else json.dumps(actual)
        whole = expected == MORE or len(shown) >= len(begin) + len(end)
        return expected == MORE or (whole and shown.startswith(begin) and shown.endswith(end))
    if isinstance(expected, dict):
        told = expected.keys() - {MORE}
        return (
            isinstance(actual, dict)
            and (told < actual.keys() if MORE in expected else told == actual.keys())
            and all(matches(expected[k], actual[k]) for k in told)
        )
    if isinstance(expected, list) and MORE in expected:
        k = expected.index(MORE)
        behind = len(expected) - k - 1
        return (
            MORE not in expected[k + 1 :]
            and isinstance(actual, list)
            and len(actual) >= k + behind
            and matches(expected[:k], actual[:k])
            and matches(expected[k + 1 :], actual[len(actual) - behind :])
        )
    if isinstance(expected, list):
        return (
            isinstance(actual, list) and len(expected) == len(actual) and all(map(matches, expected, actual))
        )
    if isinstance(expected, float) and isinstance(actual, float | int):
        return math.isclose(expected, actual, rel_tol=1e-12, abs_tol=1e-300)
    return bool(expected == actual) and type(expected) is type(actual)


def test_the_comparison_can_fail() -> None:
    """The comparison that all examples rest on tells answers apart."""
    assert matches({"a": [1.0, "sha256-…"]}, {"a": [1.0, "sha256-12"]})
    for wrong in (
        {"a": [1.1, "sha256-12"]},
        {"a": [1.0, "md5"]},
        {"a": [1.0]},
        {"b": [1.0, "sha256-12"]},
        {},
    ):
        assert not matches({"a": [1.0, "sha256-…"]}, wrong)
    assert not matches(True, 1)
    assert matches({"a": 1, "…": "…"}, {"a": 1, "b": 2})
    assert matches([1, "…", 4], [1, 2, 3, 4])
    assert matches([1, "…"], [1])
    assert read('{"a": [1, …, 4], "b": …, "c": 1.25…e-07, "d": {"x…": "y, …"}, …}') == {
        "a": [1, "…", 4], "b": "…", "c": "1.25…e-07", "d": {"x…": "y, …"}, "…": "…",
    }  # fmt: skip
    assert matches(read("1.25…e-07"), 1.2512e-07)
    assert not matches(read("1.25…e-07"), 1.2512)
    assert not matches(read("1.25…"), 1.26)
    for expected, actual in (
        ({"a": 1, "…": "…"}, {"a": 2, "b": 2}),
        ({"a": 1, "…": "…"}, {"b": 2}),
        ({"a": 1, "…": "…"}, {"a": 1}),
        ([1, "…", 4], [1, 2, 3]),
        ([1, "…", 4], [4]),
        (["…", 2], [2, 3]),
    ):
        assert not matches(expected, actual)


def test_there_are_examples() -> None:
    """An empty README would pass every other test here."""
    assert len(cases("console")) >= 8
    assert cases("python")


@pytest.mark.parametrize(("command", "expected"), cases("console"))
def test_console(server_url: str, tmp_path: Path, command: str, expected: str) -> None:
    """The command answers what the page says."""
    assert shutil.which("curl"), "the examples need curl"
    here = server_url.removeprefix("http://")
    done = subprocess.run(
        ["bash", "-c", HERE.sub(here, command)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    actual = done.stdout.strip()
    try:
        wanted = read(expected)
    except ValueError:
        if expected != "…":
            assert _lines_match(expected, actual), f"{command}\nanswered\n{actual}"
        return
    assert matches(wanted, json.loads(actual)), f"{command}\nanswered\n{actual}"


def _lines_match(expected: str, actual: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in expected.split("…"))
    return re.fullmatch(pattern, actual, re.S) is not None


@pytest.mark.parametrize(("code", "expected"), cases("python"))
def test_python(server_url: str, tmp_path: Path, code: str, expected: str) -> None:
    """The program runs, and prints what the page says."""
    here = server_url.removeprefix("http://")
    done = subprocess.run(
        [sys.executable, "-c", HERE.sub(here, code)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if expected:
        assert _lines_match(expected.strip(), done.stdout.strip()), done.stdout


def test_links_lead_somewhere() -> None:
    """Relative links and images in the pages exist."""
    missing = []
    pages = [
        *PAGES,
        ROOT / "CONTRIBUTING.md",
        ROOT / "CHANGELOG.md",
        *(ROOT / "docs" / "decisions").glob("*.md"),
    ]
    for page in pages:
        if not page.exists():
            missing.append(str(page))
            continue
        targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
        local = [target for target in targets if "://" not in target]
        missing += [f"{page.name}: {target}" for target in local if not (page.parent / target).exists()]
    assert not missing


def test_pictures_are_what_the_server_gives(server_url: str) -> None:
    """docs/images is what scripts/pictures.py draws."""
    there = shutil.which("dot") and importlib.util.find_spec("matplotlib")
    if not there and not os.environ.get("WENGERT_REQUIRE_TOOLS"):
        pytest.skip("needs Graphviz and Matplotlib")
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "pictures.py"), "--check", f"--url={server_url}"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_op_catalogue_is_current() -> None:
    """docs/ops.md is what `make docs` writes."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "opdocs.py"), "--check"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
