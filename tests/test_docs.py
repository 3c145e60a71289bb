"""Every example in README.md and docs/ is run: commands against a real server on a real port, with real curl and bash.

A `console` block holds commands (`$ …`, which may go on over several lines) and what they answer. JSON answers are
compared as JSON; `…` at the end of a string, or as a whole value, stands for anything, `"…": "…"` in an object for more fields,
and `"…"` in a list for any number of entries. A `python` block is run, and the `text` block behind it, if there is one, is what
it prints. Blocks marked `console no-run` are shown only; each says why
in a comment beside it.
"""

from __future__ import annotations

import json
import math
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
                out += [pytest.param(c, e, id=f"{name}:{k}:{n}") for n, (c, e) in enumerate(commands(body))]
            if kind == "python" and info == "python":
                follows = listed[k + 1] if k + 1 < len(listed) else ("", "")
                out.append(pytest.param(body, follows[1] if follows[0] == "text" else "", id=f"{name}:{k}"))
    return out


def matches(expected: Any, actual: Any) -> bool:
    """Whether an answer is the documented one."""
    if isinstance(expected, str) and expected.endswith("…"):
        return not expected[:-1] or (isinstance(actual, str) and actual.startswith(expected[:-1]))
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
        wanted = json.loads(expected)
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
