"""Bodies: strict, and every bad field named at once."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.accounts.endpoints import LoginBody, RegisterBody
from lib.errors import InvalidRequestError, MalformedRequestError, WeakPasswordError
from lib.video.managing import ChangeVideoBody
from lib.video.uploads import UploadAssetBody
from lib.web.bodies import parse

GOOD = {"email": "viewer@example.com", "password": "a long walk by the sea"}
RULES = {"password_min_length": 8}


def register(**changes: Any) -> RegisterBody:
    body = {name: value for name, value in (GOOD | changes).items() if value is not ...}
    return parse(RegisterBody, json.dumps(body).encode(), RULES)


def fields(error: pytest.ExceptionInfo[InvalidRequestError]) -> dict[str, str]:
    return {found.field: found.code for found in error.value.errors}


@pytest.mark.parametrize(
    "raw",
    [
        b"[]",
        b"null",
        b"1",
        b'"text"',
        b"{",
        b"{} {}",
        b"\xff\xfe",
        b'{"email": "\xff"}',
        b'{"email": "\\ud800"}',
        b'{"email": "\\udfff@example.com"}',
        b"[" * 10_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'{"email": NULL}',
        b"<xml/>",
    ],
)
def test_what_is_no_json_object(raw: bytes) -> None:
    with pytest.raises(MalformedRequestError):
        parse(LoginBody, raw, {})


def test_every_bad_field_is_named_at_once() -> None:
    with pytest.raises(InvalidRequestError) as raised:
        register(email="nobody", password=1, name="", role="admin", admin=True)
    assert fields(raised) == {
        "email": "invalid_email",
        "password": "string_type",
        "name": "string_too_short",
        "role": "unknown_field",
        "admin": "unknown_field",
    }


def test_an_empty_body_lacks_what_is_required() -> None:
    with pytest.raises(InvalidRequestError) as raised:
        parse(RegisterBody, b"", RULES)
    assert fields(raised) == {"email": "required", "password": "required"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Viewer@Example.COM", "viewer@example.com"),
        ("viewer@EXAMPLE.com", "viewer@example.com"),
        ("  viewer@example.com", None),
        ("e\u0301te\u0301@example.com", "été@example.com"),
        ("viewer@b\u00fccher.example", "viewer@bücher.example"),
        ("viewer@xn--bcher-kva.example", "viewer@bücher.example"),
        ("viewer", None),
        ("viewer@", None),
        ("@example.com", None),
        ("a b@example.com", None),
        ("a\x00b@example.com", None),
        ("a\n@example.com", None),
        ("viewer@localhost", None),
        ("viewer@127.0.0.1", None),
        ("Viewer <viewer@example.com>", None),
        ("a" * 250 + "@example.com", None),
        ("a@" + "b" * 300 + ".com", None),
        ("", None),
    ],
)
def test_addresses(written: str, meant: str | None) -> None:
    if meant is None:
        with pytest.raises(InvalidRequestError) as raised:
            register(email=written)
        assert set(fields(raised)) == {"email"}
    else:
        assert register(email=written).email == meant


@pytest.mark.parametrize(
    "password", ["", "seven77", "viewer@example.com", "VIEWER@example.com", "My Full Name"]
)
def test_weak_passwords(password: str) -> None:
    with pytest.raises(WeakPasswordError) as raised:
        register(password=password, name="my full name")
    assert {error.field for error in raised.value.errors} == {"password"}


def test_a_weak_password_beside_another_mistake_is_one_of_two() -> None:
    with pytest.raises(InvalidRequestError) as raised:
        register(password="short", email="nobody")
    assert fields(raised) == {"email": "invalid_email", "password": "weak_password"}


def test_the_same_password_from_another_keyboard() -> None:
    composed = register(password="\u00e9t\u00e9 au bord").password
    assert register(password="e\u0301te\u0301 au bord").password == composed


def test_passwords_up_to_a_bound() -> None:
    assert register(password="x" * 1024).password == "x" * 1024
    with pytest.raises(InvalidRequestError):
        register(password="x" * 1025)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("title", "a\x00b", "string_pattern_mismatch"),
        ("title", "a\nb\x00", "string_pattern_mismatch"),
        ("title", "   ", "string_too_short"),
        ("title", "x" * 201, "string_too_long"),
        ("title", None, "string_type"),
        ("level", "1", "int_type"),
        ("level", 1.5, "int_type"),
        ("level", 1e300, "less_than_equal"),
        ("level", True, "int_type"),
        ("level", -1, "greater_than_equal"),
        ("level", 10**30, "less_than_equal"),
        ("level", 1e400, "int_type"),
        ("publish", "yes", "bool_type"),
        ("publish", 1, "bool_type"),
        ("provider", "vimeo", "literal_error"),
        ("size", 0, "greater_than_equal"),
        ("size", 2**40 + 1, "less_than_equal"),
        ("description", "x" * 5001, "string_too_long"),
    ],
)
def test_types_and_bounds(name: str, value: object, code: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        parse(UploadAssetBody, json.dumps({"title": "A film", name: value}).encode(), {})
    assert fields(raised) == {name: code}


def test_surrounding_space_is_no_part_of_a_title() -> None:
    body = parse(UploadAssetBody, json.dumps({"title": " " * 99 + "x" * 200 + "\n"}).encode(), {})
    assert body.title == "x" * 200


def test_a_refusal_is_short_however_much_was_wrong() -> None:
    with pytest.raises(InvalidRequestError) as raised:
        register(email=..., **{f"{number}{'x' * 5000}": 1 for number in range(200)})
    errors = raised.value.errors
    assert len(errors) == 50
    assert errors[0].field == "email", "what the function knows comes first"
    assert max(len(error.field) for error in errors) == 100


def test_what_was_sent_is_not_repeated() -> None:
    with pytest.raises(InvalidRequestError) as raised:
        register(email="hidden", password=["hidden"], hidden_field="hidden")
    assert all("hidden" not in error.message for error in raised.value.errors)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=60),
        JSON.map(lambda value: json.dumps(value).encode()),
        st.fixed_dictionaries({}, optional={"email": JSON, "password": JSON, "name": JSON}).map(
            lambda value: json.dumps(value).encode()
        ),
    )
)
def test_anything_is_a_body_or_a_refusal(raw: bytes) -> None:
    # Anything else is a fault, which the last resort would turn into a 500.
    with suppress(MalformedRequestError, InvalidRequestError, WeakPasswordError):
        parse(RegisterBody, raw, RULES)


def test_a_whole_number_may_be_written_with_a_point() -> None:
    body = parse(UploadAssetBody, b'{"title": "A film", "level": 2.0, "size": 1e9}', {})
    assert (body.level, body.size) == (2, 10**9)


@pytest.mark.parametrize("value", ["0", "1700000000", "1700000000.5", 1700000000, "2026-11-23", "1e9"])
def test_a_time_is_written_as_one(value: object) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        parse(ChangeVideoBody, json.dumps({"available_from": value}).encode(), {})
    assert set(fields(raised)) == {"available_from"}
