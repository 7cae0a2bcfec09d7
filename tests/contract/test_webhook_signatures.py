"""Signatures of webhooks: ours, the sandbox's and those of the official JavaScript SDKs are the same."""

import json
import time
from datetime import UTC, datetime

import pytest

from infra.local.sandbox.deliveries import Channel
from lib.errors import InvalidSignatureError
from lib.web.signatures import verify
from tests.javascript import JavaScript, RefusedError

SECRET = "whsec_of_the_tests"
BODY = json.dumps({"type": "video.asset.ready", "id": "1", "object": "event", "title": "„Ümläut“ 🎬"})
UNWRAP = {"mux-signature": "unwrapMux", "Stripe-Signature": "unwrapStripe"}
SIGN = {"mux-signature": "muxHeader", "Stripe-Signature": "stripeHeader"}


def ours(body: str, header: str, *, secrets: tuple[str, ...] = (SECRET,)) -> None:
    verify(body.encode(), header, secrets, datetime.now(UTC))


@pytest.mark.parametrize("provider", SIGN)
def test_what_the_sdk_signs_we_accept(provider: str, javascript: JavaScript) -> None:
    now = int(time.time())
    header = javascript.ask(SIGN[provider], body=BODY, secret=SECRET, timestamp=now)
    ours(BODY, header)
    ours(BODY, header, secrets=("another", SECRET))
    for body, secrets in ((BODY + " ", (SECRET,)), (BODY, ("another",)), (BODY, ())):
        with pytest.raises(InvalidSignatureError):
            ours(body, header, secrets=secrets)
    for moment in (now - 400, now + 400):
        with pytest.raises(InvalidSignatureError):
            ours(BODY, javascript.ask(SIGN[provider], body=BODY, secret=SECRET, timestamp=moment))


@pytest.mark.parametrize("provider", UNWRAP)
def test_what_the_sandbox_signs_the_sdk_accepts(provider: str, javascript: JavaScript) -> None:
    channel = Channel("any", "http://localhost/webhook", provider, SECRET, 5)
    header = channel.signature(BODY, time.time())
    unwrap = UNWRAP[provider]
    assert javascript.ask(unwrap, body=BODY, header=header, secret=SECRET) == json.loads(BODY)
    ours(BODY, header)
    for body, secret, sent in (
        (BODY + " ", SECRET, header),
        (BODY, "another", header),
        (BODY, SECRET, channel.signature(BODY, time.time() - 310)),
    ):
        with pytest.raises(RefusedError):
            javascript.ask(unwrap, body=body, header=sent, secret=secret)
