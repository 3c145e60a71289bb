"""The OpenAPI document: complete, consistent, and true about what the server does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from service.envelope import REQUESTS
from service.problems import KINDS
from tests.service.conftest import Client, Json


@pytest.fixture(scope="module")
def document(client: Client) -> Json:
    found: Json = client.get("/openapi.json").json()
    return found


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_version_and_head(document: Json) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "Wengert"
    assert document["servers"] == [{"url": "/", "description": "This server"}]


def test_every_route_is_described(document: Json) -> None:
    paths = {(path, method) for path, method, _ in operations(document)}
    assert {(f"/v1/{verb}", "post") for verb in REQUESTS} <= paths
    assert {(p, "get") for p in ("/v1/ops", "/v1/ops/{name}", "/v1/limits", "/healthz", "/readyz")} <= paths
    assert len({o["operationId"] for *_, o in operations(document)}) == len(paths)
    tags = {tag["name"] for tag in document["tags"]}
    for *_, operation in operations(document):
        assert operation["summary"]
        assert set(operation["tags"]) <= tags


def test_references_lead_somewhere(document: Json) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    used = set(references(document))
    assert used <= known
    assert "x-component" not in str(document)
    assert known - used <= {f"#/components/schemas/{n}" for n in ("Warning", "Timing")}


@pytest.mark.parametrize("verb", REQUESTS)
def test_requests_are_strict(document: Json, verb: str) -> None:
    operation = document["paths"][f"/v1/{verb}"]["post"]
    assert operation["requestBody"]["required"]
    content = operation["requestBody"]["content"]["application/json"]
    name = content["schema"]["$ref"].rpartition("/")[2]
    schema = document["components"]["schemas"][name]
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == set(REQUESTS[verb].model_fields)
    assert content["examples"]
    assert schema["properties"]["inputs"]["additionalProperties"] == {"$ref": "#/components/schemas/Value"}
    graph = {"anyOf": [{"$ref": "#/components/schemas/Graph"}, {"type": "null"}]}
    assert graph.items() <= schema["properties"]["graph"].items()


@pytest.mark.parametrize("verb", REQUESTS)
def test_errors_are_described(document: Json, verb: str) -> None:
    responses = document["paths"][f"/v1/{verb}"]["post"]["responses"]
    assert {"200", "400", "403", "404", "406", "408", "413", "415", "422", "503", "504"} <= responses.keys()
    for status, response in responses.items():
        if status != "200":
            assert response["content"]["application/problem+json"]["schema"] == {
                "$ref": "#/components/schemas/Problem"
            }
    assert "Retry-After" in responses["503"]["headers"]


def test_every_kind_of_problem_is_named(document: Json) -> None:
    described = document["components"]["schemas"]["Problem"]["description"]
    assert all(f"/problems/{name}" in described for name in KINDS)


def test_values_of_all_forms_are_described(document: Json) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["Number"]["oneOf"][1]["enum"] == ["NaN", "Infinity", "-Infinity"]
    assert set(schemas["EncodedArray"]["properties"]) == {"object_type", "shape", "dtype", "data"}
    assert schemas["Node"]["required"] == ["id", "op"]
