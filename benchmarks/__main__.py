"""`python -m benchmarks`: every row, or some, in a process of its own each; a table of ratios at the end."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import about
from benchmarks.measure import Settings
from benchmarks.plot import write_plot
from benchmarks.report import as_document, markdown, shown, terminal
from benchmarks.row import Curve, Found, Line, Row
from benchmarks.table import ROWS
from engine.blas import environment

ROOT = Path(__file__).parent.parent


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", metavar="ROW", action="append", help=f"one of {', '.join(r.key for r in ROWS)}"
    )
    parser.add_argument("--quick", action="store_true", help="small and short, for trying")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write what was found here, too")
    parser.add_argument(
        "--write", action="store_true", help="write docs/performance.md and its plot (needs all rows)"
    )
    parser.add_argument(
        "--from", dest="source", metavar="FILE", type=Path, help="do not measure, read such a file"
    )
    parser.add_argument("--row", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    settings = Settings.for_trying() if options.quick else Settings()
    if options.row:
        _run_here(next(r for r in ROWS if r.key == options.row), settings, options.json)
        return 0
    unknown = sorted(set(options.only or ()) - {r.key for r in ROWS})
    if unknown:
        parser.error(f"no row {', '.join(unknown)}; there are {', '.join(r.key for r in ROWS)}")
    rows = [r for r in ROWS if not options.only or r.key in options.only]
    found: dict[str, Found] = {}
    machine = about()
    failed: list[str] = []
    if options.source:
        document = json.loads(options.source.read_text("utf-8"))
        found, machine = _read(document), document["about"]
    else:
        for row in rows:
            start = time.monotonic()
            print(f"── {row.title}", flush=True)
            result = _run_apart(row, options.quick)
            if result is None:
                failed.append(row.key)
            else:
                found[row.key] = result
            print(f"   ({time.monotonic() - start:.0f} s)\n", flush=True)
    print(terminal(rows, found))
    if options.json:
        options.json.write_text(json.dumps(as_document(found), indent=1), "utf-8")
    if failed:
        print(f"\nFailed: {', '.join(failed)}", file=sys.stderr)
    elif options.write:
        if len(found) < len(ROWS):
            parser.error("--write needs all rows")
        (ROOT / "docs" / "performance.md").write_text(markdown(ROWS, found, machine), "utf-8")
        write_plot(found, ROOT / "docs" / "performance.svg")
    return 1 if failed else 0


def _run_here(row: Row, settings: Settings, out: Path) -> None:
    found = Found()
    for one in row.run(settings):
        match one:
            case Line():
                found.lines.append(one)
                print("   " + shown(one), flush=True)
            case Curve():
                found.curves.append(one)
            case _:
                found.remarks.append(one)
                print(f"   {one}", flush=True)
    out.write_text(json.dumps(dataclasses.asdict(found)), "utf-8")


def _run_apart(row: Row, quick: bool) -> Found | None:
    """A row in a process of its own: what one peer leaves behind (threads, memory, a heap to collect) burdens no other row."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        command = [sys.executable, "-m", "benchmarks", "--row", row.key, "--json", str(out)]
        # NumPy's BLAS as a server of ours has it on a fresh machine, whatever this shell says; what the peers' own libraries
        # read is left to them.
        ours = {name: value for name, value in environment().items() if name.startswith("OPENBLAS")}
        rest = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS")}
        done = subprocess.run([*command, *(["--quick"] if quick else [])], cwd=ROOT, env=rest | ours)
        if done.returncode or not out.exists():
            return None
        return _read({row.key: json.loads(out.read_text("utf-8"))})[row.key]


def _read(document: dict[str, dict[str, list[object]]]) -> dict[str, Found]:
    return {
        key: Found(
            [Line(**line) for line in part["lines"]],  # type: ignore[arg-type]
            [Curve(**curve) for curve in part["curves"]],  # type: ignore[arg-type]
            [str(remark) for remark in part["remarks"]],
        )
        for key, part in document.items()
        if key != "about"
    }


if __name__ == "__main__":
    sys.exit(main())
