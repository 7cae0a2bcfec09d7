"""The front of all functions, in the image and under `make run`."""

import json

from werkzeug.test import Client

from infra.service.app import FunctionsApp


def test_a_function_that_is_not_there_is_refused_as_functions_refuse() -> None:
    answer = Client(FunctionsApp([])).get("/nothing")
    assert answer.status_code == 404
    problem = json.loads(answer.data)
    assert (problem["status"], problem["code"]) == (404, "not_found")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Request-Id"] == problem["request_id"]


def test_health_asks_no_function() -> None:
    client = Client(FunctionsApp([]))
    answer = client.get("/health")
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})
    assert answer.headers["Cache-Control"] == "no-store"
    assert client.post("/health").status_code == 404
    assert client.get("/health/more").status_code == 404
