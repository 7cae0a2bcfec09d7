"""The local front of all functions."""

import json

from werkzeug.test import Client

from infra.local.functions_app import FunctionsApp


def test_a_function_that_is_not_there_is_refused_as_functions_refuse() -> None:
    answer = Client(FunctionsApp([])).get("/nothing")
    assert answer.status_code == 404
    problem = json.loads(answer.data)
    assert (problem["status"], problem["code"]) == (404, "not_found")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Request-Id"] == problem["request_id"]
