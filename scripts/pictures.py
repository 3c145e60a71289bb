"""The pictures of docs/tutorial.md, as a running server draws them or from what it answers.

    make serve                              in one terminal
    python scripts/pictures.py              in another: writes docs/images/
    python scripts/pictures.py --check      says which are not what the server gives (exit code 1)

The server needs Matplotlib and Graphviz. Two runs with the same versions of both give the same bytes.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

FOLDER = Path(__file__).parent.parent / "docs" / "images"

NETWORK = "h1 = relu(w11*x)\nh2 = relu(w12*x)\nout = w21*h1 + w22*h2\nloss = (out - target)**2"
AT = {"x": 0.8, "target": 1.9, "w12": 1.2, "w22": 0.8}
NEURON = "t1 = w * x\nt2 = t1 + b\nt3 = -1 * t2\nt4 = exp(t3)\nt5 = t4 + 1\nt6 = t5**(-1)\nt7 = t6 - target\nt8 = t7**2"


class Server:
    """A server to be asked."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=60)

    def ask(self, verb: str, body: dict[str, Any]) -> Any:
        """An answer in JSON."""
        return self.http.post(f"/v1/{verb}", json=body).raise_for_status().json()

    def svg(self, verb: str, body: dict[str, Any]) -> str:
        """A drawing."""
        return (
            self.http.post(f"/v1/{verb}", json=body, headers={"Accept": "image/svg+xml"})
            .raise_for_status()
            .text
        )


def landscape(server: Server) -> str:
    """The loss over two weights, and the way that gradient descent takes on it."""
    start = {"w11": 2.6, "w21": -2.4}
    descent = {
        "expression": NETWORK, "inputs": AT | start, "wrt": list(start), "method": "gd", "record": True,
        "options": {"learning_rate": 0.02, "max_iterations": 200},
    }  # fmt: skip
    path = [entry["point"] for entry in server.ask("minimize", descent)["history"]]
    axes = [
        {"input": "w11", "start": 0, "stop": 3.5, "num": 101},
        {"input": "w21", "start": -3.5, "stop": 3.5, "num": 101},
    ]
    return server.svg("landscape", {"expression": NETWORK, "inputs": AT, "axes": axes, "path": path})


def neuron(server: Server) -> str:
    """The graph of a neuron and its loss, with values and gradients."""
    at = {"w": 2, "x": 1, "b": 0, "target": 10}
    return server.svg("render", {"expression": NEURON, "inputs": at, "format": "svg"})


def error_curve(server: Server) -> str:
    """Errors of forward and central differences for x³ at 1, over the step."""
    return server.svg("check", {"expression": "x*x*x", "inputs": {"x": 1}})


DRAWN: dict[str, Callable[[Server], str]] = {
    "landscape.svg": landscape,
    "error-curve.svg": error_curve,
    "neuron.svg": neuron,
}


_NUMBER = re.compile(r"-?\d+\.\d+")


def same(name: str, kept: str, new: str) -> bool:
    """Whether two pictures are one, up to a twentieth of a point: processors differ in last digits. Versions of Graphviz
    differ in places; what is written in the drawing does not."""
    if name == "neuron.svg":
        return sorted(re.findall(r"<text[^>]*>([^<]*)</text>", kept)) == sorted(
            re.findall(r"<text[^>]*>([^<]*)</text>", new)
        )
    pairs = zip(_NUMBER.findall(kept), _NUMBER.findall(new), strict=False)
    return _NUMBER.sub("#", kept) == _NUMBER.sub("#", new) and all(
        abs(float(a) - float(b)) <= 0.05 for a, b in pairs
    )


def main() -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server (default: %(default)s)")
    parser.add_argument("--check", action="store_true", help="compare with what is there, and write nothing")
    options = parser.parse_args()
    server = Server(options.url)
    wrong = []
    for name, draw in DRAWN.items():
        picture, path = draw(server), FOLDER / name
        if options.check:
            if not path.exists() or not same(name, path.read_text(encoding="utf-8"), picture):
                wrong.append(name)
        else:
            path.write_text(picture, encoding="utf-8")
    if wrong:
        print(f"{', '.join(wrong)} in docs/images: not what the server gives today; run scripts/pictures.py")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
