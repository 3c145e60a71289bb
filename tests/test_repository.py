"""What must hold of the repository as a whole: directions of imports, what is never called, locks, versions."""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

LAYERS = [
    ["blas", "errors", "kept"],
    ["aval", "entries"],
    ["jit", "recycled"],
    ["kernels"],
    ["op"],
    ["attrs", "formula"],
    ["graph"],
    ["program"],
    ["values"],
    ["compiled"],
    ["builder"],
    ["transforms"],
    ["ops"],
    ["tape"],
    ["cost"],
    ["language", "spec", "specialize"],
    ["execute", "sparsity"],
    ["structured"],
    ["derive", "trace"],
    ["numeric", "render"],
    ["symbolic"],
    ["compare", "landscape", "minimize", "propagate"],
    ["describe", "catalogue"],
]
"""Modules and packages of the engine, bottom first: each imports from its own layer and those before it only."""

UPWARD: set[tuple[str, str]] = set()
"""The exceptions, as (module, what it imports all the same), each with its reason."""

WEB = {"fastapi", "httpx", "orjson", "pydantic", "pydantic_settings", "starlette", "uvicorn"}
NEVER_IMPORTED = {
    "engine": {"service", "clients", "wengert", "tests", *WEB},
    "service": {"clients", "wengert", "tests", "httpx"},
    "clients": {"engine", "service", "tests"},
    "benchmarks": {"tests"},  # FastAPI alone is measured with the service's own models
    "docs": {"service", "tests"},
    "scripts": {"service", "tests"},
}
"""For each folder, the packages that nothing in it imports. The service is imported by itself, tests and benchmarks only."""

NEVER_CALLED = {"eval", "exec", "compile", "__import__"}
"""Program text never becomes Python code as received; what the engine generates is a module on disk."""

REGISTRY_HOST = re.compile(
    r"\b(?:pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|yarnpkg\.com|anaconda\.org|crates\.io|download\.pytorch\.org"
    r"|docker\.io|ghcr\.io|quay\.io|proxy\.golang\.org)\b",
    re.IGNORECASE,
)
MACHINE_PATH = re.compile(
    r"(?<![\w.~$}-])/(?:work|root|home|Users|tmp|var/folders|opt/(?:wheels|pypi))/\w|\b[A-Z]:\\Users\\"
)
"""A place on somebody's machine (a bare temporary folder, as an option of a container, is none)."""


@functools.cache
def project_files() -> list[Path]:
    """All files that are or would be under version control; without git, all that are not hidden or installed."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        paths = [ROOT / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        skipped = {"node_modules", "__pycache__", "build", "dist"}
        paths = []
        for folder, folders, names in os.walk(ROOT):
            folders[:] = [f for f in folders if f not in skipped and not f.startswith((".venv", ".git", "."))]
            paths += [Path(folder, name) for name in names]
    return sorted(path for path in paths if path.is_file() and not path.is_symlink())


def text_files() -> Iterator[tuple[str, str]]:
    """Name and content of each of the project's files that is text."""
    for path in project_files():
        data = path.read_bytes()
        if b"\0" not in data[:8192]:
            yield path.relative_to(ROOT).as_posix(), data.decode("utf-8", "replace")


def python_files(*folders: str) -> list[Path]:
    """The project's Python files under these folders."""
    return [p for p in project_files() if p.suffix == ".py" and p.relative_to(ROOT).parts[0] in folders]


def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_bytes(), filename=str(path))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything that a file imports when it runs, `from a import b` as a.b.

    Imports for type checkers alone (`if TYPE_CHECKING:`) do not count: an annotation is no dependency.
    """
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    todo: list[ast.AST] = [parsed(path)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            todo += node.orelse
            continue
        todo += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"


def layer_of(module: str) -> int | None:
    """Index of the layer that a module of the engine is in."""
    return next((i for i, layer in enumerate(LAYERS) if module in layer), None)


def engine_module(path: Path) -> str:
    """First name below `engine` of a file in it; empty for the package's own `__init__.py`."""
    first = path.relative_to(ROOT / "engine").parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def pins(name: str) -> dict[str, str]:
    """Package and version of each line of a lock."""
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9][a-z0-9.-]*)==([^\s;\\]+)", text, re.MULTILINE))


def wanted(name: str) -> set[str]:
    """Names of the packages that a list of direct dependencies asks for."""
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    return {found.lower() for found in re.findall(r"^([A-Za-z0-9][A-Za-z0-9._-]*)", text, re.MULTILINE)}


# ------------------------------------------------------------------------------------------------------------ imports


@pytest.mark.parametrize("folder", NEVER_IMPORTED)
def test_imports_point_one_way(folder: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in python_files(folder)
        for line, name in imports(path)
        if name.split(".")[0] in NEVER_IMPORTED[folder]
    ]
    assert not wrong, "\n".join(wrong)


def test_engine_modules_have_a_layer() -> None:
    missing = {m for m in map(engine_module, python_files("engine")) if m and layer_of(m) is None}
    assert not missing, f"give {sorted(missing)} a place in LAYERS (tests/test_repository.py)"


def test_engine_layers() -> None:
    wrong = []
    for path in python_files("engine"):
        own = layer_of(engine_module(path))
        if own is None:
            continue
        for line, name in imports(path):
            first, _, rest = name.partition(".")
            if first != "engine":
                continue
            # `engine.__init__` imports everything, so to import a name from it is to import from above.
            module = rest.split(".")[0]
            other = layer_of(module)
            if (other is None or other > own) and (engine_module(path), module) not in UPWARD:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_nothing_is_evaluated() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno} calls {node.func.id}"
        for path in python_files("engine", "service")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NEVER_CALLED
    ]
    assert not wrong, "\n".join(wrong)


def test_the_import_reader_sees_all_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        "import a.b, c as d\nfrom engine.graph import Node\nfrom . import x\nfrom ..op import Op\n"
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import hidden\nelse:\n    import seen\n"
        "def f():\n    from late import g\n"
    )
    path = tmp_path / "engine" / "ops" / "linalg.py"
    path.parent.mkdir(parents=True)
    path.write_text(source, encoding="utf-8")
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert sorted(name for _, name in imports(path)) == [
        "a.b",
        "c",
        "engine.graph.Node",
        "engine.op.Op",
        "engine.ops.x",
        "late.g",
        "seen",
        "typing.TYPE_CHECKING",
    ]


# ---------------------------------------------------------------------------------------------------- files and locks


@pytest.mark.parametrize("pattern", [REGISTRY_HOST, MACHINE_PATH], ids=["registry-host", "machine-path"])
def test_no_file_names_a_place_that_others_do_not_have(pattern: re.Pattern[str]) -> None:
    wrong = [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}"
        for name, text in text_files()
        for match in pattern.finditer(text)
    ]
    assert not wrong, "\n".join(wrong[:20])


def test_the_patterns_find_what_they_are_for() -> None:
    dot, slash = ".", "/"
    assert REGISTRY_HOST.search(f"https://registry.npmjs{dot}org/x")
    assert REGISTRY_HOST.search(f"PYPI{dot}org")
    assert MACHINE_PATH.search(f"see {slash}home{slash}ann")
    assert MACHINE_PATH.search(f"'{slash}tmp{slash}x.json'")
    assert not MACHINE_PATH.search(f"--tmpfs {slash}tmp --read-only")
    assert not MACHINE_PATH.search(f"https://example.org{slash}home{slash}page")


@pytest.mark.parametrize(
    "name",
    [
        "build.txt",
        "runtime.txt",
        "server.txt",
        "test.txt",
        "lint.txt",
        "peers.txt",
        "bench.txt",
        "tesseract.txt",
    ],
)
def test_locks_name_no_place(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    for never in (
        "--index-url",
        "--extra-index-url",
        "--trusted-host",
        "--find-links",
        "file:",
        "http:",
        "https:",
        " @ ",
    ):
        assert never not in text


ONE_WHEEL = {"fastapi-swagger"}
"""Packages published as one wheel for all machines, without their source."""


@pytest.mark.parametrize("name", ["build", "runtime", "server", "test", "lint"])
def test_locks_are_sealed_for_more_than_one_machine(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert entries
    for entry in entries:
        # A wheel and the source at the very least; a package with compiled parts has one wheel for each platform.
        least = 1 if entry.split("==")[0] in ONE_WHEEL else 2
        assert entry.count("--hash=sha256:") >= least, entry.split()[0]


def test_locks_have_what_is_wanted_and_agree() -> None:
    runtime, server, test, lint, peers = (
        pins(f"{name}.txt") for name in ("runtime", "server", "test", "lint", "peers")
    )
    assert wanted("build.in") <= set(pins("build.txt"))
    assert wanted("runtime.in") <= set(runtime)
    assert wanted("fast.in") | wanted("plots.in") <= set(server)
    assert wanted("test.in") <= set(test)
    assert wanted("lint.in") <= set(lint)
    assert wanted("peers.in") <= set(peers)
    bench = pins("bench.txt")
    assert wanted("bench.in") <= set(bench)
    assert wanted("tesseract.in") <= set(pins("tesseract.txt"))
    assert runtime.items() <= server.items()
    assert server.items() <= test.items()
    assert runtime.items() <= lint.items()
    known = runtime | lint | test
    for name, others in (("peers.txt", peers), ("bench.txt", bench)):
        assert {name: version for name, version in others.items() if name in known} == {
            name: known[name] for name in others if name in known
        }, f"installing {name} would change what test.txt installed"


def test_one_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    newest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == version
    for package in ("engine", "service"):
        init = ROOT / package / "__init__.py"
        stated = (
            re.search(r'^__version__ = "(.+)"', init.read_text(encoding="utf-8"), re.MULTILINE)
            if init.exists()
            else None
        )
        assert stated is None or stated[1] == version, package


def test_build_requirements_are_those_that_are_locked() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    stated = (ROOT / "requirements" / "build.in").read_text(encoding="utf-8").splitlines()
    assert build == [line for line in stated if line and not line.startswith("#")]


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has the permission")
def test_ci_can_be_run() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
