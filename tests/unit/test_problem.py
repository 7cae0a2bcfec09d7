"""Refusals as clients see them."""

import inspect

import pytest

from lib import errors
from lib.errors import FieldError, InvalidTokenError, Refusal, TooManyStreamsError, UnavailableError
from lib.web import problem

REFUSALS = [
    found
    for _, found in inspect.getmembers(errors, inspect.isclass)
    if issubclass(found, Refusal) and found is not Refusal
]


def test_a_document() -> None:
    refusal = TooManyStreamsError(retry_after=90, extra={"playing": []})
    assert problem.document(refusal, "r1") == {
        "type": "about:blank",
        "title": "Too many streams are playing on this account",
        "status": 429,
        "detail": "Too many streams are playing on this account",
        "code": "too_many_streams",
        "request_id": "r1",
        "playing": [],
    }
    assert refusal.headers == {"Retry-After": "90"}


def test_bad_fields() -> None:
    refusal = errors.InvalidRequestError(errors=[FieldError("a.0", "required", "Field required")])
    found = problem.document(refusal, "r1")
    assert found["errors"] == [{"field": "a.0", "code": "required", "message": "Field required"}]


def test_who_is_not_let_in_hears_how() -> None:
    for refusal in REFUSALS:
        found = refusal().headers.get("WWW-Authenticate")
        assert found == ("Bearer" if refusal.status == 401 else None), refusal


@pytest.mark.parametrize("refusal", REFUSALS)
def test_every_refusal_says_what_it_is(refusal: type[Refusal]) -> None:
    found = problem.document(refusal(), "r1")
    assert 400 <= found["status"] < 600
    assert found["title"]
    assert found["detail"]


def test_codes_are_told_apart() -> None:
    codes = [refusal.code for refusal in REFUSALS]
    assert len(set(codes)) == len(codes)


def test_headers_that_clients_need() -> None:
    assert InvalidTokenError().headers == {"WWW-Authenticate": "Bearer"}
    assert UnavailableError().headers == {"Retry-After": "2"}
    assert UnavailableError(retry_after=0).headers == {"Retry-After": "1"}
