"""Pictures: what is in them, that no text of a client does harm in them, and what they ask of the server."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import numpy as np
import pytest

from engine.errors import DeadlineExceeded
from engine.execute.meter import Meter
from service.plots import PICTURES, figure, plot
from service.plots.contour import contour
from service.plots.curve import curve
from service.plots.descent import descent
from service.plots.scale import Levels, Linear, Logarithmic, number
from tests.service.conftest import ROOT, Client, Json, check_problem

pytest.importorskip("matplotlib")

SVG, PNG = PICTURES
ROSENBROCK = "f = (1 - x)**2 + 100*(y - x**2)**2"


def over(name: str, start: float, stop: float, num: int, index: Any = None) -> Json:
    return {"input": name, "start": start, "stop": stop, "num": num} | (
        {} if index is None else {"index": index}
    )


SQUARE = [over("x", -2, 2, 21), over("y", -2, 2, 21)]

PROGRAMS: dict[str, Json] = {
    "rosenbrock": {
        "expression": ROSENBROCK,
        "axes": [over("x", -2, 2, 200), over("y", -1, 3, 200)],
        "path": [[-1.5, 2.5], [-1, 1], [1, 1]],
    },
    "himmelblau": {
        "expression": "(x**2 + y - 11)**2 + (x + y**2 - 7)**2",
        "axes": [over("x", -5, 5, 200), over("y", -5, 5, 200)],
        "gradients": True,
    },
    "saddle": {"expression": "x**2 - y**2", "axes": SQUARE, "gradients": True},
    "edges": {"expression": "abs(x) + abs(y)", "axes": SQUARE, "gradients": True},
    "holes": {"expression": "log(x*y)", "axes": SQUARE, "gradients": True, "path": [["NaN", 0], [1, 1]]},
    "nowhere": {"expression": "log(-x**2 - y**2 - 1)", "axes": SQUARE, "gradients": True},
    "constant": {"expression": "3 + 0*x*y", "axes": SQUARE, "gradients": True},
    "zero": {"expression": "0*x*y", "axes": SQUARE},
    "pole": {"expression": "1/(x*y)", "axes": SQUARE, "gradients": True},
    "huge": {"expression": "exp(350*(x + y))", "axes": SQUARE, "gradients": True},
    "tiny": {"expression": "1e-310 * x * y", "axes": SQUARE, "gradients": True},
    "close": {"expression": "1 + 1e-15*x + 0*y", "axes": SQUARE},
    "checkered": {"expression": "log(sin(40*x) * sin(40*y))", "axes": SQUARE},
    "noise": {"expression": "sin(1e5*x*y) + sin(1e6*(x + y))", "axes": [over("x", 0, 1, 200), over("y", 0, 1, 200)]},
    "wide": {"expression": "x + y", "axes": [over("x", -1.5e308, 1.5e308, 9), over("y", 0, 1e-320, 5)], "gradients": True},
    "thin": {"expression": "x * y", "axes": [over("x", 1, 1 + 1e-13, 5), over("y", 1e15, 1e15 + 8, 9)]},
    "backwards": {"expression": "x * y", "axes": [over("x", 2, -2, 9), over("y", 1, 0, 5)], "gradients": True},
    "one_row": {"expression": "x * y", "axes": [over("x", 1, 1, 1), over("y", -1, 1, 9)], "gradients": True, "path": [[1, 0]]},
    "one_column": {"expression": "x * y", "axes": [over("x", 0, 1, 9), over("y", 2, 2, 4)], "gradients": True},
    "one_point": {"expression": "x * y", "axes": [over("x", 3, 3, 1), over("y", 2, 2, 1)], "gradients": True},
    "two_by_two": {"expression": "x * y", "axes": [over("x", 0, 1, 2), over("y", 0, 1, 2)], "gradients": True},
    "far_path": {"expression": "x * y", "axes": SQUARE, "path": [[0, 0], [1e308, -1e308], ["Infinity", 0], [1, 1]]},
    "sine": {"expression": "sin(x)", "axes": [over("x", -4, 4, 201)], "gradients": True, "path": [[3], [2], [-1]]},
    "curve_with_holes": {"expression": "log(sin(3*x))", "axes": [over("x", -4, 4, 301)], "gradients": True},
    "curve_nowhere": {"expression": "log(-x**2 - 1)", "axes": [over("x", -4, 4, 11)], "gradients": True},
    "curve_of_decades": {"expression": "exp(x)", "axes": [over("x", -300, 300, 61)], "gradients": True},
    "curve_of_one": {"expression": "exp(x)", "axes": [over("x", 1, 1, 1)], "gradients": True},
    "curve_constant": {"expression": "7 + 0*x", "axes": [over("x", 1, 2, 11)], "gradients": True},
    "curve_huge": {"expression": "x**3", "axes": [over("x", -5e102, 5e102, 101)], "gradients": True},
}  # fmt: skip


def drawn(client: Client, body: Json, media: str = SVG) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        response = client.post("/v1/landscape", json=body, headers={"accept": media})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == media
    assert response.headers["vary"] == "Accept"
    return response.content


def parsed(svg: bytes) -> ElementTree.Element:
    """The document, which asks for nothing from elsewhere and runs nothing."""
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    for element in root.iter():
        name = element.tag.partition("}")[2] if isinstance(element.tag, str) else ""
        assert name not in {"script", "foreignObject", "iframe", "a", "animate", "set", "text", "handler"}
        for key, value in element.attrib.items():
            assert not key.lower().startswith("on")
            if key.endswith("href"):
                assert value.startswith(("#", "data:image/png;base64,"))
            assert "javascript:" not in value.lower()
            assert not re.search(r"url\((?!#)", value)
    assert b"<!DOCTYPE" not in svg
    assert b"<!ENTITY" not in svg
    return root


def groups(svg: bytes) -> dict[str, ElementTree.Element]:
    return {e.attrib["id"]: e for e in parsed(svg).iter() if "id" in e.attrib}


def size(png: bytes) -> tuple[int, int]:
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    return width, height


# --------------------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("name", PROGRAMS)
def test_everything_can_be_drawn(client: Client, name: str) -> None:
    body = PROGRAMS[name]
    svg = drawn(client, body)
    assert groups(svg)
    assert len(svg) < 300_000
    assert size(drawn(client, body, PNG)) == (1080, 810)


@pytest.mark.parametrize("name", ["holes", "sine", "noise"])
def test_it_is_drawn_the_same_again(client: Client, name: str) -> None:
    for media in PICTURES:
        assert drawn(client, PROGRAMS[name], media) == drawn(client, PROGRAMS[name], media)


def places(element: ElementTree.Element) -> list[tuple[float, float]]:
    """Where the markers in a group are."""
    uses = [part for part in element.iter() if part.tag.endswith("}use")]
    return [(float(use.attrib["x"]), float(use.attrib["y"])) for use in uses]


def corners(element: ElementTree.Element) -> list[tuple[float, float]]:
    """Points of the first line in a group."""
    line = next(part.attrib["d"] for part in element.iter() if part.tag.endswith("}path"))
    return [(float(x), float(y)) for x, y in re.findall(r"[ML] (\S+) (\S+)", line)]


def test_minimum_path_and_gradients_are_where_they_belong(client: Client) -> None:
    body = {
        "expression": "(x - 1)**2 + (y + 1)**2",
        "axes": [over("x", -2, 2, 41), over("y", -2, 2, 41)],
        "gradients": True,
        "path": [[-2, 2], [0, 0], [1, -1], [2, 2]],
    }
    found = groups(drawn(client, body))
    assert {"minimum", "path", "path-start", "gradients"} <= found.keys()
    (mark,) = places(found["minimum"])
    corner, middle, third, last = corners(found["path"])
    assert corner == pytest.approx(places(found["path-start"])[0], abs=0.02)
    # The picture's own coordinates: x to the right, y down.
    width, height = last[0] - corner[0], third[1] - corner[1]
    assert width > 300
    assert height > 200
    assert last[1] == pytest.approx(corner[1])
    assert mark == pytest.approx(third, abs=0.02)
    assert middle == pytest.approx((corner[0] + width / 2, corner[1] + height * 2 / 3), abs=0.05)
    assert third[0] == pytest.approx(corner[0] + width * 3 / 4, abs=0.05)
    bare = groups(drawn(client, {"expression": "x + y", "axes": SQUARE}))
    assert not {"path", "path-start", "gradients", "not-finite"} & bare.keys()


def test_rows_are_not_columns(client: Client) -> None:
    """The first axis goes to the right: a surface that rises along it alone is darkest on the left."""
    import io

    from matplotlib.image import imread

    for expression, low, high in (("x", (60, 400), (1000, 400)), ("y", (500, 700), (500, 60))):
        png = drawn(client, {"expression": f"{expression} + 0*x*y", "axes": SQUARE}, PNG)
        image = imread(io.BytesIO(png))
        left, right = (
            image[row, min(column, 880)][:3].sum() for column, row in ((low[0] + 60, low[1]), high)
        )
        assert left < right


def test_a_landscape_of_nothing_says_so(client: Client) -> None:
    found = groups(drawn(client, PROGRAMS["nowhere"]))
    assert "not-finite" in found
    assert "minimum" not in found
    assert "not-finite" in groups(drawn(client, PROGRAMS["holes"]))
    assert "not-finite" in groups(drawn(client, PROGRAMS["curve_with_holes"]))


@pytest.mark.parametrize(
    "name",
    [
        "$x^2$", "$\\frac{", "\\def\\x{\\x}", "%s{0}", "a_b^c", "速度", "αβγ", "שלום", "🦊", "x" * 256, "e\u0301\u202e\u200b",
        "<script>alert(1)</script>", "]]><x>", '" onload="alert(1)', "-->", "--><script>", "&amp;&#0;", "{{7*7}}",
        "\u2028\ufffe",
        "url(http://example.org)", "javascript:alert(1)", " ",
    ],
)  # fmt: skip
def test_names_do_no_harm(client: Client, name: str) -> None:
    nodes = [
        {"id": name, "op": "input"},
        {"id": name[:100] + "'", "op": "input"},
        {"id": name[:100] + "of", "op": "multiply", "inputs": [name, name[:100] + "'"]},
    ]
    axes = [over(name, 0, 1, 5), over(name[:100] + "'", 0, 1, 5)]
    svg = drawn(client, {"graph": {"nodes": nodes}, "axes": axes})
    parsed(svg)
    line = {"graph": {"nodes": nodes}, "axes": axes[:1], "inputs": {axes[1]["input"]: 2}, "gradients": True}
    parsed(drawn(client, line))


def test_it_is_drawn_the_same_by_another_process(client: Client, tmp_path: Path) -> None:
    here = drawn(client, PROGRAMS["saddle"])
    (tmp_path / "matplotlibrc").write_text("font.size: 30\nsvg.hashsalt: other\n")
    there = run(
        DRAW.format(body=PROGRAMS["saddle"]), cwd=tmp_path, PYTHONHASHSEED="7", MATPLOTLIBRC=str(tmp_path)
    )
    assert there == here


def test_pictures_at_the_same_time(client: Client) -> None:
    """Matplotlib is not made for threads; we are."""
    answers = [client.ask("landscape", PROGRAMS[n]) for n in ("saddle", "edges", "backwards", "two_by_two")]
    alone = [plot(lambda a=a: contour(a), SVG, Meter()) for a in answers]  # type: ignore[misc]  # a default is a capture
    found: dict[int, bytes] = {}

    def draw(k: int) -> None:
        found[k] = plot(lambda: contour(answers[k % 4]), SVG, Meter())

    threads = [threading.Thread(target=draw, args=(k,)) for k in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[k] for k in range(12)] == alone * 3


def test_who_waits_for_its_turn_looks_at_the_time() -> None:
    with figure._drawing, pytest.raises(DeadlineExceeded):
        plot(lambda: figure.new_figure(), SVG, Meter(deadline=time.monotonic() + 0.1))
    with pytest.raises(ZeroDivisionError):
        plot(lambda: 1 / 0, SVG, Meter())  # type: ignore[arg-type, return-value]  # a mistake that is made
    assert not figure._drawing.locked()


# ------------------------------------------------------------------------------------------------------- what is asked


def test_media_types(client: Client) -> None:
    body = {"expression": "x**2", "axes": [over("x", 0, 1, 3)]}
    for accept, kind in (
        (None, "application/json"),
        ("*/*", "application/json"),
        ("image/*", SVG),
        ("image/png", PNG),
        ("image/png, image/svg+xml;q=0.5", PNG),
        ("text/html, application/json;q=0.1", "application/json"),
    ):
        response = client.post(
            "/v1/landscape", json=body, headers={} if accept is None else {"accept": accept}
        )
        assert response.headers["content-type"] == kind
        assert response.headers["vary"] == "Accept"
    check_problem(
        client.post("/v1/landscape", json=body, headers={"accept": "text/html"}), 406, "not-acceptable"
    )
    wrong = client.post("/v1/landscape", json={"expression": "x"}, headers={"accept": PNG})
    check_problem(wrong, 422, "invalid-field")


def test_pictures_of_registered_programs_and_with_other_fields(client: Client) -> None:
    ref = client.post("/v1/graphs", json={"expression": "x**2 - y"}).json()["id"]
    body: Json = {"axes": SQUARE, "arrays": "base64", "dtype": "float32", "include": ["timing", "dot"]}
    response = client.post(f"/v1/graphs/{ref}/landscape", json=body, headers={"accept": SVG})
    assert response.status_code == 200
    parsed(response.content)


def test_time_is_limited(client: Client) -> None:
    headers = {"accept": PNG, "x-request-timeout": "0.3"}
    with figure._drawing:
        response = client.post(
            "/v1/landscape", json={"expression": "x", "axes": [over("x", 0, 1, 3)]}, headers=headers
        )
    check_problem(response, 504, "timeout")


def test_a_large_grid_is_drawn_in_bounded_time(client: Client) -> None:
    """More lines than there are dots are not drawn: nine times the points take hardly longer."""
    seconds = []
    for n in (250, 750):
        answer = {
            "of": "f",
            "axes": [{"label": a, "values": np.linspace(0, 1, n)} for a in "xy"],
            "surface": np.random.default_rng(1).normal(size=(n, n)),
            "minimum": None,
        }
        plot(lambda a=answer: contour(a), PNG, Meter())  # type: ignore[misc]
        start = time.perf_counter()
        plot(lambda a=answer: contour(a), PNG, Meter())  # type: ignore[misc]
        seconds.append(time.perf_counter() - start)
    assert seconds[1] < 4 * seconds[0]


# ----------------------------------------------------------------------------------------------------- without, or alone


def test_without_matplotlib(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figure, "find_spec", lambda name: None)
    body = {"expression": "x", "axes": [over("x", 0, 1, 3)]}
    for media in PICTURES:
        found = check_problem(
            client.post("/v1/landscape", json=body, headers={"accept": media}), 501, "drawing-unavailable"
        )
        assert "Matplotlib" in found["detail"]
    assert client.ask("landscape", body)["surface"] == [0.0, 0.5, 1.0]


DRAW = """
import sys
from tests.service.conftest import Client
client = Client()
response = client.post("/v1/landscape", json={body!r}, headers={{"accept": "image/svg+xml"}})
sys.stdout.buffer.write(response.content)
sys.stdout.flush()
client.close()
"""


def run(code: str, cwd: Path = ROOT, **env: str) -> bytes:
    """What a new process writes; nothing to standard error."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WENGERT_", "MPL", "MATPLOTLIB"))}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=cwd, env={**kept, "PYTHONPATH": str(ROOT), **env}, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b"", done.stderr.decode()
    return done.stdout


def test_a_server_that_does_not_draw_does_not_load_matplotlib() -> None:
    code = """
import sys
import service.app
from tests.service.conftest import Client
client = Client()
body = {"expression": "x*y", "axes": [{"input": "x", "start": 0, "stop": 1, "num": 3}], "inputs": {"y": 1}}
assert client.ask("landscape", body)["surface"] == [0.0, 0.5, 1.0]
client.get("/openapi.json")
client.close()
print(sorted(m for m in sys.modules if m.startswith(("matplotlib", "PIL", "contourpy"))))
"""
    assert run(code).strip() == b"[]"


def test_it_needs_no_home_and_leaves_nothing_behind(tmp_path: Path) -> None:
    before = os.environ.get("MPLCONFIGDIR")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    there = run(
        DRAW.format(body=PROGRAMS["sine"]),
        HOME="/nonexistent",
        TMPDIR=str(temporary),
        XDG_CACHE_HOME="/nonexistent",
    )
    parsed(there)
    assert list(temporary.iterdir()) == []
    assert os.environ.get("MPLCONFIGDIR") == before
    kept = tmp_path / "kept"
    kept.mkdir()
    parsed(run(DRAW.format(body=PROGRAMS["sine"]), HOME="/nonexistent", MPLCONFIGDIR=str(kept)))
    assert any(kept.iterdir())
    parsed(run(DRAW.format(body=PROGRAMS["sine"]), HOME="/nonexistent", MPLCONFIGDIR="/nonexistent/folder"))


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if nothing had been drawn yet."""
    monkeypatch.delitem(sys.modules, "matplotlib.font_manager", raising=False)
    monkeypatch.setattr(figure, "_loaded", False)
    return


def test_where_nothing_can_be_written(
    client: Client, unloaded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refused(*, prefix: str, dir: Path | None) -> str:
        asked.append(dir)
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(figure.tempfile, "mkdtemp", refused)
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    body = {"expression": "x", "axes": [over("x", 0, 1, 3)]}
    check_problem(
        client.post("/v1/landscape", json=body, headers={"accept": SVG}), 501, "drawing-unavailable"
    )
    assert asked == [None, Path("/dev/shm"), Path.cwd()]
    assert "MPLCONFIGDIR" not in os.environ


# ---------------------------------------------------------------------------------------------------------- descent


def history(values: list[Any], norms: list[Any] | None = None) -> list[Json]:
    norms = [None] * len(values) if norms is None else norms
    return [
        {"iteration": k, "value": v, "gradient_norm": n}
        for k, (v, n) in enumerate(zip(values, norms, strict=True))
    ]


HISTORIES: dict[str, list[Json]] = {
    "usual": history([24.2, 3.0, 1e-3, 1e-12], [232.0, 20.0, 0.1, 1e-6]),
    "negative": history([5.0, -3.0, -3.9, -4.0], [1, 2, 3, 0.0]),
    "without_gradients": history([5.0, 4.0, 3.0]),
    "diverged": history([1.0, 1e100, float("inf"), float("nan")], [1.0, 1e200, "Infinity", "NaN"]),
    "one": history([3.0], [1.0]),
    "none": [],
    "constant": history([2.0] * 5, [0.0] * 5),
    "zeros": history([0.0] * 5, [0.0] * 5),
    "many": history(list(np.geomspace(1e5, 1e-20, 20_000)), list(np.geomspace(1e5, 1e-20, 20_000))),
    "tiny": history([5e-324, 1e-323], [1e308, 1e-308]),
    "strings": history(["Infinity", 1.0, "NaN"], ["NaN"] * 3),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_descent(name: str) -> None:
    answer = {
        "of": "$f$", "value": -4.0, "iterations": 3, "status": "max_iterations", "method": "adam",
        "evaluations": {"value": 44, "gradient": 1, "hvp": 0}, "history": HISTORIES[name],
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = plot(lambda: descent(answer), SVG, Meter())
        assert plot(lambda: descent(answer), SVG, Meter()) == svg
        plot(lambda: descent({"history": HISTORIES[name]}), PNG, Meter())
    found = groups(svg)
    assert "value" in found
    assert ("gradient-norm" in found) == (name not in ("without_gradients", "none", "strings"))
    assert len(svg) < 300_000


@pytest.mark.parametrize("method", ["l-bfgs-b", "random-search"])
def test_minimize_draws_its_convergence(client: Client, method: str) -> None:
    body = {
        "expression": ROSENBROCK,
        "inputs": {"x": -1.2, "y": 1},
        "method": method,
        "bounds": {"x": [-2, 2], "y": [-2, 2]},
    }
    response = client.post("/v1/minimize", json=body, headers={"accept": SVG})
    assert response.headers["content-type"] == SVG
    assert "value" in groups(response.content)
    response = client.post("/v1/minimize", json=body, headers={"accept": PNG})
    assert size(response.content) == (1080, 810)


# ------------------------------------------------------------------------------------------------------------- scales


def test_numbers() -> None:
    written = {
        0.0: "0", 1.0: "1", -2.5: "−2.5", 2509.3: "2509", 123456.0: "123500", 1e6: "10⁶", -1e-9: "−10⁻⁹",
        3.14159e-20: "3.142·10⁻²⁰",
    }  # fmt: skip
    assert {x: number(x) for x in written} == written


@pytest.mark.parametrize("scale", [1.0, 1e-300, 1e300, -1.0])
@pytest.mark.parametrize("shape", ["even", "valley", "peak", "poles", "two"])
def test_colours_rise_with_heights(shape: str, scale: float) -> None:
    t = np.linspace(-1, 1, 401)
    z = {"even": t, "valley": t**12, "peak": -(t**12), "poles": t**15, "two": np.sign(t)}[shape] * scale
    levels = Levels(z)
    order = np.argsort(z)
    colours = levels(z)[order]
    assert colours[0] == 0.0
    assert colours[-1] == 1.0
    assert np.all(np.diff(colours) >= 0)
    assert levels.crowded == (shape in ("valley", "peak", "poles"))
    # Half of all heights are told apart by more than a few colours.
    if shape != "two":
        assert len(np.unique(np.round(colours, 2))) > 60
    ticks = levels.ticks()
    assert len(ticks) >= 2
    assert all(0 <= a < b <= 1 for (a, _), (b, _) in pairwise(ticks))
    assert np.isnan(levels([np.nan, np.inf])).all()


@pytest.mark.parametrize("kind", [Linear, Logarithmic])
@pytest.mark.parametrize(
    "values", [[1.0, 2.0], [1e-320, 1e308], [-1e308, 1e308], [1.0, 1.0 + 1e-15], [0.0], [], [np.nan, np.inf]]
)
def test_places_are_of_moderate_size(kind: type[Linear] | type[Logarithmic], values: list[float]) -> None:
    scale = kind(np.array(values))
    low, high = scale.ends
    assert np.isfinite([low, high]).all()
    assert low < high
    places = scale(np.array([*values, -1e308, 1e308, np.nan, np.inf, 0.0]))
    there = places[np.isfinite(places)]
    assert np.all(np.abs(there) <= 1e4 * max(1.0, abs(low), abs(high)))


def test_curve_of_rows_given_backwards() -> None:
    axis = {"label": "x", "values": np.array([2.0, 1.0, 0.0])}
    answer = {"of": "f", "axes": [axis], "surface": np.array([4.0, 1.0, 0.0]), "minimum": None}
    forward = {
        **answer,
        "axes": [{**axis, "values": axis["values"][::-1]}],
        "surface": answer["surface"][::-1],
    }  # type: ignore[index]
    assert plot(lambda: curve(answer), SVG, Meter()) == plot(lambda: curve(forward), SVG, Meter())


def test_a_picture_over_http(server: Any) -> None:
    with server.client() as http:
        response: httpx.Response = http.post("/v1/landscape", json=PROGRAMS["sine"], headers={"accept": PNG})
    assert response.headers["content-type"] == PNG
    assert int(response.headers["content-length"]) == len(response.content)
    assert size(response.content) == (1080, 810)
