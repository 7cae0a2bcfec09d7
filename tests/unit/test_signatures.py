"""Webhook signatures: only what a secret signed, only now."""

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import InvalidSignatureError
from lib.web.signatures import TOLERANCE_SECONDS, verify

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
T = int(NOW.timestamp())
BODY = b'{"id":"evt_1"}'
SECRETS = ("whsec_old", "whsec_new")


def sign(body: bytes = BODY, secret: str = SECRETS[1], at: int | str = T) -> str:
    return hmac.new(secret.encode(), str(at).encode() + b"." + body, hashlib.sha256).hexdigest()


def fits(header: str, body: bytes = BODY, secrets: tuple[str, ...] = SECRETS) -> bool:
    try:
        verify(body, header, secrets, NOW)
    except InvalidSignatureError:
        return False
    return True


@pytest.mark.parametrize(
    "header",
    [
        f"t={T},v1={sign()}",
        f"t={T},v1={sign(secret='whsec_old')}",
        f"v1={sign()},t={T}",
        f"t={T}, v1={sign()}",
        f"t={T},v1={'0' * 64},v1={sign()}",
        f"t={T},v0=other,v1={sign()},v2=later",
        f"t={T - TOLERANCE_SECONDS},v1={sign(at=T - TOLERANCE_SECONDS)}",
        f"t={T + TOLERANCE_SECONDS},v1={sign(at=T + TOLERANCE_SECONDS)}",
    ],
)
def test_good(header: str) -> None:
    assert fits(header)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        f"t={T}",
        f"v1={sign()}",
        f"t={T},v1=",
        f"t={T},v1={sign(secret='whsec_other')}",
        f"t={T},v1={sign(b'{}')}",
        f"t={T},v1={sign()[:-1]}",
        f"t={T},v1={sign()}0",
        f"t={T},v1={sign().upper()}",
        f"t={T},v0={sign()}",
        f"t={T + 1},v1={sign()}",
        f"t={T},t={T},v1={sign()}",
        f"t={T - TOLERANCE_SECONDS - 1},v1={sign(at=T - TOLERANCE_SECONDS - 1)}",
        f"t={T + TOLERANCE_SECONDS + 1},v1={sign(at=T + TOLERANCE_SECONDS + 1)}",
        f"t=+{T},v1={sign(at=f'+{T}')}",
        f"t={T}.0,v1={sign(at=f'{T}.0')}",
        f"t=-1,v1={sign(at=-1)}",
        f"t={'9' * 5000},v1={sign()}",
        "t=\u0661,v1=\u0661",
        "t=1,v1=\udcff\xff",
        f"t={T}," + "v1=0," * 2000 + f"v1={sign()}",
    ],
)
def test_bad(header: str) -> None:
    assert not fits(header.encode("utf-8", "replace").decode("latin-1"))


def test_without_a_secret_nothing_fits() -> None:
    assert not fits(f"t={T},v1={sign()}", secrets=())
    assert not fits(f"t={T},v1={sign(secret='')}")


@given(st.text(max_size=200))
def test_no_header_is_an_error_of_ours(header: str) -> None:
    assert not fits(header.encode("utf-8", "surrogatepass").decode("latin-1"))


@given(
    st.lists(st.tuples(st.sampled_from(["t", "v1", "v0", ""]), st.text("0123456789abcdef,= ", max_size=8)))
)
def test_nor_one_that_looks_like_a_signature(parts: list[tuple[str, str]]) -> None:
    assert not fits(",".join(f"{name}={value}" for name, value in parts))


@given(st.binary(max_size=300))
def test_any_body_can_be_signed(body: bytes) -> None:
    assert fits(f"t={T},v1={sign(body)}", body)
    assert not fits(f"t={T},v1={sign(body)}", body + b" ")


def test_stripe_s_own_library_agrees() -> None:
    now = datetime.now(UTC)
    body = json.dumps({"id": "evt_1", "object": "event"})
    stamp = int(now.timestamp())
    header = f"t={stamp},v1={sign(body.encode(), at=stamp)}"
    stripe.WebhookSignature.verify_header(body, header, "whsec_new", TOLERANCE_SECONDS)
    verify(body.encode(), header, SECRETS, now)
    with pytest.raises(InvalidSignatureError):
        verify(body.encode(), header, SECRETS, now + timedelta(seconds=TOLERANCE_SECONDS + 2))
