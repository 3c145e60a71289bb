"""Routes about the server: catalogue, limits, health, pages; and what is the same for all routes."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest

from engine.op import registry
from service import __version__
from service.app import create_app
from service.catalogue import catalogue
from service.problems import KINDS
from service.schemas import LimitsDocument, OpsDocument
from service.settings import Settings
from tests.service.conftest import PRODUCT, Client, check_problem

GET = [
    "/",
    "/docs",
    "/openapi.json",
    "/problems",
    "/problems/syntax",
    "/healthz",
    "/readyz",
    "/v1/ops",
    "/v1/ops/sum",
]


def test_catalogue(client: Client) -> None:
    found = client.get("/v1/ops").json()
    OpsDocument.model_validate(found)
    names = [op["name"] for op in found["ops"]]
    assert names == sorted(names)
    assert set(names) == {op.name for op in registry}
    assert len(names) > 100


@pytest.mark.parametrize(
    ("asked", "name"), [("multiply", "multiply"), ("mul", "multiply"), ("*", "multiply"), ("%40", "matmul")]
)
def test_one_op(client: Client, asked: str, name: str) -> None:
    found = client.get(f"/v1/ops/{asked}").json()
    assert found == catalogue()[name]
    assert found["derivative"]
    assert found["summary"]


def test_an_unknown_op(client: Client) -> None:
    found = check_problem(client.get("/v1/ops/multiplyy"), 404, "not-found")
    assert "multiply" in found["suggestions"]


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_examples_of_ops_work(client: Client, name: str) -> None:
    op = catalogue()[name]
    if op["example"] is None:
        assert op["family"] in ("structure", "control")
        return
    client.ask("evaluate", op["example"])


def test_limits(client: Client) -> None:
    found = client.get("/v1/limits").json()
    LimitsDocument.model_validate(found)
    assert found["version"] == __version__
    limits = found["limits"]
    assert limits["body_bytes"] == 134217728
    assert limits["nodes"] == 1000000
    assert limits["depth"] == 200
    assert limits["nesting"] == 32
    assert limits["statements"] == 100000
    assert limits["elements"] == 10000000
    assert limits["rank"] == 32
    assert limits["response_elements"] == 20000000
    assert limits["timeout_s"] == 30
    assert limits["expression_chars"] == 262144
    assert limits["render_nodes"] == 500
    assert limits["errors"] == limits["warnings"] == 20
    assert limits["memory_bytes"] > 0
    assert limits["flops"] > 0


def test_limits_are_settings() -> None:
    made = Client(nodes=5, elements=10, expression_chars=40, timeout_s=3, response_elements=20)
    try:
        limits = made.get("/v1/limits").json()["limits"]
        assert (limits["nodes"], limits["elements"], limits["expression_chars"], limits["timeout_s"]) == (
            5,
            10,
            40,
            3,
        )
        for body, name in (
            ({"expression": "x + " * 20 + "x", "inputs": {"x": 1}}, "expression_chars"),
            ({"expression": "x+x+x+x+x+x+x+x", "inputs": {"x": 1}}, "nodes"),
            ({"graph": {"nodes": [{"id": str(i), "op": "input", "value": 1} for i in range(6)]}}, "nodes"),
            ({"expression": "x + 1", "inputs": {"x": [1] * 11}}, "elements"),
            ({"expression": "outer(x, x)", "inputs": {"x": [1] * 4}}, "elements"),
            (
                {"expression": "x + 1", "inputs": {"x": [1] * 10}, "nodes": "all", "seed": [1] * 10},
                "response_elements",
            ),
        ):
            verb = "grad" if "seed" in body else "evaluate"
            assert made.problem(verb, body, 413, "limit-exceeded")["limit"] == name
    finally:
        made.close()


def test_health(client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}


def test_a_draining_server_is_not_ready_but_works() -> None:
    made = Client()
    try:
        made.app.state.draining = True
        response = made.get("/readyz")
        check_problem(response, 503, "overloaded")
        assert int(response.headers["retry-after"]) > 0
        assert made.get("/healthz").status_code == 200
        response = made.post("/v1/grad", json=PRODUCT)
        assert response.status_code == 200
        assert response.headers["connection"] == "close"
    finally:
        made.close()


@pytest.mark.parametrize("name", KINDS)
def test_every_problem_has_a_page(client: Client, name: str) -> None:
    response = client.get(f"/problems/{name}")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert str(KINDS[name].status) in response.text
    assert f'href="/problems/{name}"' in client.get("/problems").text


@pytest.mark.parametrize(
    "path", ["/problems/nope", "/problems/", "/static/nope", "/static/../cli.py", "/static/%2e%2e%2fcli.py"]
)
def test_what_is_not_there(client: Client, path: str) -> None:
    check_problem(client.get(path), 404, "not-found")


@pytest.mark.parametrize("path", ["/", "/docs", "/problems", "/problems/cycle"])
def test_pages_ask_nobody_else(client: Client, path: str) -> None:
    """No address of another server stands where a browser would load it, and the policy would not let it."""
    response = client.get(path)
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    loaded = re.findall(r'<(?:script|link|img|iframe)[^>]*\s(?:src|href)="([^"]*)"', response.text)
    assert loaded
    for address in loaded:
        assert address.startswith("/static/")
        assert client.get(address).status_code == 200
    for inline in re.findall(r"<script(.*?)>(.*?)</script>", response.text, re.DOTALL):
        assert not inline[1]


def test_docs_are_those_of_this_server(client: Client) -> None:
    assert "swagger-ui-bundle.js" in client.get("/docs").text
    script = client.get("/static/docs.js").text
    assert "/openapi.json" in script
    assert "validatorUrl: null" in script
    bundle = client.get("/static/swagger-ui-bundle.js")
    assert bundle.headers["content-type"] == "text/javascript; charset=utf-8"
    assert len(bundle.content) > 1_000_000


def test_behind_a_prefix() -> None:
    made = Client()
    made.http = httpx.AsyncClient(
        transport=httpx.ASGITransport(made.app, root_path="/autodiff"), base_url="http://testserver"
    )
    try:
        assert 'href="/autodiff/docs"' in made.get("/autodiff/").text
        assert 'src="/autodiff/static/docs.js"' in made.get("/autodiff/docs").text
        assert made.get("/autodiff/openapi.json").json()["servers"][0]["url"] == "/autodiff"
    finally:
        made.close()


# ------------------------------------------------------------------------------------------------------ all routes


@pytest.mark.parametrize("path", GET)
def test_head_is_get_without_the_body(client: Client, path: str) -> None:
    got, head = client.get(path), client.request("HEAD", path)
    assert head.status_code == got.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == got.headers["content-length"]
    assert head.headers["content-type"] == got.headers["content-type"]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        *[(p, "GET, HEAD, OPTIONS") for p in GET],
        ("/v1/grad", "OPTIONS, POST"),
        ("/v1/render", "OPTIONS, POST"),
    ],
)
def test_methods(client: Client, path: str, allowed: str) -> None:
    response = client.request("OPTIONS", path)
    assert response.status_code == 204
    assert response.headers["allow"] == allowed
    assert "access-control-allow-origin" not in response.headers
    for method in {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "FROB"} - set(
        allowed.split(", ")
    ):
        response = client.request(method, path)
        assert response.status_code == 405
        assert response.headers["allow"] == allowed
        if method != "HEAD":
            check_problem(response, 405, "method-not-allowed")


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "FROB"])
@pytest.mark.parametrize(
    "path", ["/nope", "/v1", "/v1/", "/v1/grad/", "/v2/grad", "/metrics", "/%00", "/v1/ops/a/b"]
)
def test_no_such_path(client: Client, method: str, path: str) -> None:
    found = check_problem(client.request(method, path), 404, "not-found")
    assert found["instance"].startswith("/")


@pytest.mark.parametrize("path", ["/healthz", "/nope", "/v1/limits", "/docs"])
def test_headers_of_every_answer(client: Client, path: str) -> None:
    response = client.get(path)
    assert response.headers["wengert-version"] == __version__
    assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"])
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in response.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("abc", True),
        ("A-b_c.9", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("", False),
        ("a b", False),
        ("a\tb", False),
        ("é", False),
        ('"><script>', False),
    ],
)
def test_request_ids(client: Client, given: str, kept: bool) -> None:
    response = client.get(
        "/healthz", headers={"x-request-id": given.encode("latin-1").decode("latin-1").encode("latin-1")}
    )
    assert (response.headers["x-request-id"] == given) is kept


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("5", 200),
        ("0.5", 200),
        ("1e3", 200),
        ("0", 422),
        ("-1", 422),
        ("nan", 422),
        ("inf", 422),
        ("soon", 422),
        ("", 422),
    ],
)
def test_request_timeout(client: Client, value: str, status: int) -> None:
    response = client.post("/v1/grad", json=PRODUCT, headers={"x-request-timeout": value})
    assert response.status_code == status
    if status == 422:
        check_problem(response, 422, "invalid-field")


@pytest.mark.parametrize("size", [1, 10_000])
@pytest.mark.parametrize(("error", "status"), [(RuntimeError("secret"), 500), (MemoryError(), 503)])
def test_bugs_are_logged_and_told_without_details(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    status: int,
    size: int,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("service.work.prepare", fail)
    data = json.dumps(PRODUCT).ljust(size)
    headers = {"content-type": "application/json", "x-request-id": "find-me"}
    response = client.post("/v1/grad", content=data, headers=headers)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"] == "find-me"
    found = response.json()
    assert found["status"] == status
    assert "secret" not in response.text
    if status == 500:
        assert found["type"] == "about:blank"
        assert "find-me" in found["detail"]
    (record,) = [r for r in caplog.records if r.name == "wengert.error"]
    assert record.request_id == "find-me"  # type: ignore[attr-defined]
    assert record.exc_info


# ------------------------------------------------------------------------------------------------------------ hosts


@pytest.fixture(scope="module")
def local() -> Any:
    made = Client(allowed_hosts="wengert.test,*.example.org")
    yield made
    made.close()


@pytest.mark.parametrize(
    ("host", "fine"),
    [
        ("localhost", True),
        ("LOCALHOST:8000", True),
        ("app.localhost", True),
        ("127.0.0.1:8000", True),
        ("127.1.2.3", True),
        ("[::1]:8000", True),
        ("[::1]", True),
        ("[::ffff:127.0.0.1]", True),
        ("localhost.", True),
        ("wengert.test", True),
        ("a.example.org:1", True),
        ("example.org", False),
        ("evil.test", False),
        ("127.0.0.1.evil.test", False),
        ("localhost.evil.test", False),
        ("evil.test:127.0.0.1", False),
        ("10.0.0.1", False),
        ("[::2]", False),
        ("", False),
        ("0", False),
    ],
)
def test_names_on_loopback(local: Client, host: str, fine: bool) -> None:
    for base in ("http://127.0.0.1", "http://[::1]"):
        response = local.get(f"{base}/healthz", headers={"host": host})
        if fine:
            assert response.status_code == 200
        else:
            check_problem(response, 403, "forbidden")


def test_names_elsewhere(client: Client, local: Client) -> None:
    """What comes from the network may be named as it likes, unless names are configured; health checks always may."""
    assert client.get("http://10.0.0.1/v1/limits", headers={"host": "any.test"}).status_code == 200
    assert local.get("http://10.0.0.1/v1/limits", headers={"host": "wengert.test"}).status_code == 200
    assert local.get("http://10.0.0.1/healthz", headers={"host": "10.0.0.1"}).status_code == 200
    check_problem(local.get("http://10.0.0.1/v1/limits", headers={"host": "any.test"}), 403, "forbidden")


def test_any_name() -> None:
    for settings in ({"allowed_hosts": "*"}, {"host": "0.0.0.0"}):
        made = Client(**settings)
        try:
            host = "any.test" if "allowed_hosts" in settings else "0.0.0.0:8000"
            assert made.get("http://127.0.0.1/healthz", headers={"host": host}).status_code == 200
        finally:
            made.close()


# --------------------------------------------------------------------------------------------------------- settings


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WENGERT_TIMEOUT_S", "5")
    monkeypatch.setenv("WENGERT_ALLOWED_HOSTS", "A.test, b.test ,")
    monkeypatch.setenv("WENGERT_ACCESS_LOG", "false")
    settings = Settings()
    assert settings.timeout_s == 5
    assert settings.allowed_hosts == ("a.test", "b.test")
    assert settings.access_log is False
    assert create_app(settings).state.services.settings is settings
