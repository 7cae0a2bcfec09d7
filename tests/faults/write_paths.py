"""Everything that writes, as scenes: who asks for what, what a client does when no answer comes, and what it then sees."""

import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.billing import event, signed
from tests.factories import PASSWORD
from tests.faults.deaths import NO_LONGER_ON_ITS_WAY, Call, Outcome, Person, World
from tests.integration import test_cloudflare_webhook as cloudflare
from tests.integration import test_mux_webhook as mux

NEW_PASSWORD = "another walk, in the hills"

# Of one person, and of one film: how many there are.
FACTS = {
    "accounts": "SELECT count(*) FROM users WHERE email = :email",
    "verified": "SELECT count(*) FROM users WHERE id = :user AND email_verified_at IS NOT NULL",
    "logins": "SELECT count(*) FROM sessions WHERE user_id = :user AND revoked_at IS NULL",
    "refresh tokens": """SELECT count(*) FROM refresh_tokens r JOIN sessions s ON s.id = r.session_id
        WHERE s.user_id = :user AND s.revoked_at IS NULL AND r.spent_at IS NULL""",
    "links": "SELECT count(*) FROM links WHERE user_id = :user",
    "mails under way": """SELECT count(*) FROM mails WHERE (user_id = :user OR email = :email)
        AND settled_at IS NULL""",
    "customers": "SELECT count(stripe_customer_id) FROM billing_accounts WHERE user_id = :user",
    "open pages": "SELECT count(*) FROM checkouts WHERE user_id = :user AND state = 'open'",
    "pages": "SELECT count(*) FROM checkouts WHERE user_id = :user",
    "subscriptions": "SELECT count(*) FROM subscriptions WHERE user_id = :user AND status = 'active'",
    "grants": "SELECT count(*) FROM grants WHERE user_id = :user AND withheld IS NULL",
    "level": "SELECT coalesce(max(level), 0) FROM entitlements WHERE user_id = :user AND until > now()",
    "streams": """SELECT count(*) FROM playback_sessions WHERE user_id = :user AND expires_at > now()
        AND stopped_at IS NULL""",
    "position": "SELECT coalesce(max(position), 0)::int FROM playback_sessions WHERE user_id = :user",
    "closures": "SELECT count(*) FROM closures WHERE user_id = :user",
    "events waiting": "SELECT count(*) FROM inbox WHERE customer_id = :customer AND state IN ('received', 'dead')",
    "events": "SELECT count(*) FROM inbox WHERE customer_id = :customer AND state = 'processed'",
    "films": "SELECT count(*) FROM videos WHERE title = :title AND deleted_at IS NULL",
    "films ready": "SELECT count(*) FROM videos WHERE title = :title AND status = 'ready'",
    "films gone": "SELECT count(*) FROM videos WHERE title = :title AND purged_at IS NOT NULL",
    "keys held": "SELECT count(*) FROM idempotency_keys WHERE user_id = :user AND answer IS NULL",
}
NOTED = "SELECT kind, count(*) FROM audit_log WHERE user_id = :user GROUP BY kind"


@dataclass
class Scene:
    """One request of one client.

    Args:
        call: the request.
        ahead: by how many seconds the clock of who carries it out is.
        again: how an answer to its repetition may look: status and code. 2xx always may.
        person: who asks, or whom it is about.
        then: what the client does and sees when it has its answer at last.
        twice: facts that may count one more where the first request was done and only its answer lost.
        lost: facts that may count one less: mails are sent at most once.
        at_stripe: whether what Stripe has of them is counted too.
    """

    call: Call
    person: Person | None = None
    email: str = ""
    title: str = ""
    customer: str = ""
    again: frozenset[tuple[int, str]] = frozenset()
    then: Callable[[Outcome], Any] = field(default=lambda outcome: None)
    twice: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()
    at_stripe: bool = False
    ahead: float = 0


def _may(*refusals: tuple[int, str]) -> frozenset[tuple[int, str]]:
    return frozenset(refusals)


def _logs_in(world: World, email: str, password: str) -> Outcome:
    return world.done(Call("POST", "login", {"email": email, "password": password}))


def _shows(world: World, person: Person) -> Callable[[Outcome], None]:
    """Whatever happened, the account can be looked at."""

    def look(_: Outcome) -> None:
        world.done(Call("GET", "account", token=person.token))

    return look


# -- accounts ---------------------------------------------------------------------------------------------


def register(world: World) -> Scene:
    email = f"{uuid.uuid4().hex}@example.com"

    def log_in_if_there(outcome: Outcome) -> None:
        if outcome.code == "email_taken":
            _logs_in(world, email, PASSWORD)

    return Scene(
        Call("POST", "register", {"email": email, "password": PASSWORD}),
        email=email,
        again=_may((409, "email_taken")),
        then=log_in_if_there,
        twice=frozenset({"logins", "refresh tokens", "noted: logged_in", "noted: registered"}),
    )


def login(world: World) -> Scene:
    person = world.person()
    return Scene(
        Call("POST", "login", {"email": person.email, "password": PASSWORD}),
        person,
        twice=frozenset({"logins", "refresh tokens", "noted: logged_in"}),
    )


def refresh(world: World) -> Scene:
    person = world.person()

    def once_more(outcome: Outcome) -> None:
        world.done(Call("POST", "refresh", {"refresh_token": outcome.body["refresh_token"]}))

    return Scene(Call("POST", "refresh", {"refresh_token": person.refresh_token}), person, then=once_more)


def logout(world: World) -> Scene:
    person = world.person()

    def is_out(_: Outcome) -> None:
        assert world.call(Call("GET", "account", token=person.token)).status == 401

    return Scene(
        Call("POST", "logout", {}, person.token), person, again=_may((401, "invalid_token")), then=is_out
    )


def ask_for_a_reset(world: World) -> Scene:
    person = world.person()
    return Scene(
        Call("POST", "reset-password", {"email": person.email}),
        person,
        twice=frozenset({"links", "mail: Choose a new password"}),
    )


def reset_the_password(world: World) -> Scene:
    person = world.person()

    def has_it(_: Outcome) -> None:
        _logs_in(world, person.email, NEW_PASSWORD)
        old = world.call(Call("POST", "login", {"email": person.email, "password": PASSWORD}))
        assert old.status == 401
        assert world.call(Call("GET", "account", token=person.token)).status == 401

    body = {"token": world.link(person, "reset"), "password": NEW_PASSWORD}
    return Scene(Call("POST", "reset-password", body), person, again=_may((400, "invalid_link")), then=has_it)


def verify_the_email(world: World) -> Scene:
    person = world.person()
    call = Call("POST", "verify-email", {"token": world.link(person, "verify")})
    return Scene(call, person, again=_may((400, "invalid_link")), then=_shows(world, person))


def ask_for_verification(world: World) -> Scene:
    person = world.person()
    return Scene(
        Call("POST", "verify-email", {}, person.token),
        person,
        twice=frozenset({"links", "mail: Confirm your email address"}),
    )


def move_to_another_email(world: World) -> Scene:
    person = world.person()
    wanted = f"{uuid.uuid4().hex}@example.com"
    call = Call("POST", "verify-email", {"token": world.link(person, "change", wanted)})

    def has_moved(_: Outcome) -> None:
        shown = world.done(Call("GET", "account", token=person.token))
        assert shown.body["user"]["email"] == wanted

    return Scene(call, person, again=_may((400, "invalid_link")), then=has_moved)


def change_the_name(world: World) -> Scene:
    person = world.person()
    return Scene(Call("PATCH", "account", {"name": "Ada"}, person.token), person)


def change_the_email(world: World) -> Scene:
    person = world.person()
    wanted = f"{uuid.uuid4().hex}@example.com"
    return Scene(
        Call("PATCH", "account", {"email": wanted, "current_password": PASSWORD}, person.token),
        person,
        twice=frozenset({"links", "noted: email_change_asked"}),
    )


def change_the_password(world: World) -> Scene:
    person = world.person()

    def has_it(_: Outcome) -> None:
        _logs_in(world, person.email, NEW_PASSWORD)

    return Scene(
        Call("PATCH", "account", {"password": NEW_PASSWORD, "current_password": PASSWORD}, person.token),
        person,
        again=_may((403, "wrong_password")),
        then=has_it,
    )


def leave(world: World) -> Scene:
    person = world.person()
    customer = world.customer(person)
    return Scene(
        Call("DELETE", "account", {"password": PASSWORD}, person.token),
        person,
        customer=customer,
        again=_may((401, "invalid_token")),
        at_stripe=True,
    )


# -- billing ----------------------------------------------------------------------------------------------


def open_a_page(world: World) -> Scene:
    person = world.person()
    return Scene(Call("POST", "create-checkout", {"plan": "basic"}, person.token), person, at_stripe=True)


def open_a_page_with_a_key(world: World) -> Scene:
    person = world.person()
    key = {"Idempotency-Key": uuid.uuid4().hex}
    return Scene(
        Call("POST", "create-checkout", {"plan": "basic"}, person.token, key), person, at_stripe=True
    )


def open_another_page(world: World) -> Scene:
    person = world.person()
    world.done(Call("POST", "create-checkout", {"plan": "basic"}, person.token))
    return Scene(Call("POST", "create-checkout", {"plan": "premium"}, person.token), person, at_stripe=True)


def open_a_page_for_a_film(world: World) -> Scene:
    person = world.person()
    film = world.film(price_amount=399, price_currency="usd", rental_hours=48)
    return Scene(
        Call("POST", "create-checkout", {"video_id": str(film)}, person.token), person, at_stripe=True
    )


def come_back_from_the_page(world: World) -> Scene:
    person = world.person()
    customer = world.customer(person)
    page = world.sql("SELECT stripe_session_id FROM checkouts WHERE user_id = :u", u=person.id)[0]
    return Scene(
        Call("POST", "confirm-checkout", {"session_id": page}, person.token),
        person,
        customer=customer,
        at_stripe=True,
    )


def redeem(world: World) -> Scene:
    person = world.person()
    call = Call("POST", "redeem", {"code": world.gift_code()}, person.token)
    return Scene(call, person, again=_may((409, "already_redeemed")), then=_shows(world, person))


def _told(world: World, payload: bytes) -> Call:
    header = {"Stripe-Signature": signed(payload, secret=world.stack.settings.stripe_webhook_secret)}
    return Call("POST", "stripe-webhook", payload.decode(), headers=header)


def hear_from_stripe(world: World) -> Scene:
    person = world.person()
    customer = world.customer(person)
    return Scene(_told(world, event(customer)), person, customer=customer, at_stripe=True)


# -- process-task -----------------------------------------------------------------------------------------


def process_an_event(world: World) -> Scene:
    person = world.person()
    customer = world.customer(person)
    world.done(_told(world, event(customer)))
    return Scene(
        world.task(world.queue.waiting.pop()),
        person,
        customer=customer,
        at_stripe=True,
        then=_shows(world, person),
    )


def sync_an_account(world: World) -> Scene:
    person = world.person()
    customer = world.customer(person)
    body = {"kind": "sync-account", "body": {"user_id": str(person.id), "actor": "get-playback"}}
    return Scene(world.task(body), person, customer=customer, at_stripe=True)


def end_a_second_subscription(world: World) -> Scene:
    """Paid for by two bills, its own and one for a change of plan, which are refunded one after the other."""
    person = world.person()
    customer = world.customer(person)
    world.move_up(customer)
    body = {"kind": "sync-account", "body": {"user_id": str(person.id), "actor": "comparison"}}
    # Prices are remembered when they are first met, which takes a step more.
    world.done(world.task(body))
    world.subscribe_past_us(customer)
    world.move_up(customer)
    return Scene(world.task(body), person, customer=customer, at_stripe=True)


def close_a_customer(world: World) -> Scene:
    person = world.person()
    customer = world.customer(person)
    world.done(Call("DELETE", "account", {"password": PASSWORD}, person.token))
    return Scene(world.task(world.queue.waiting.pop()), person, customer=customer, at_stripe=True)


def send_a_mail(world: World) -> Scene:
    person = world.person()
    world.done(Call("POST", "reset-password", {"email": person.email}))
    return Scene(
        world.task(world.queue.waiting.pop()),
        person,
        lost=frozenset({"mail: Choose a new password"}),
    )


def _announced(world: World, provider: str) -> tuple[str, str]:
    admin, title = world.person(role="admin"), f"A film {uuid.uuid4()}"
    made = world.done(Call("POST", "upload-asset", {"title": title, "provider": provider}, admin.token))
    return made.body["video"]["id"], title


def check_a_film(world: World) -> Scene:
    film, title = _announced(world, "mux")
    return Scene(world.task({"kind": "check-video", "body": {"video_id": film}}), title=title)


def purge_a_film(world: World) -> Scene:
    film, title = _announced(world, "mux")
    admin = world.person(role="admin")
    world.done(Call("DELETE", f"manage-video?video_id={film}&purge=now", token=admin.token))
    return Scene(world.task(world.queue.waiting.pop()), title=title)


def purge_a_film_at_cloudflare(world: World) -> Scene:
    film, title = _announced(world, "cloudflare")
    admin = world.person(role="admin")
    world.done(Call("DELETE", f"manage-video?video_id={film}&purge=now", token=admin.token))
    return Scene(world.task(world.queue.waiting.pop()), title=title)


# -- films ------------------------------------------------------------------------------------------------


def _announce(world: World, provider: str) -> Scene:
    admin, title = world.person(role="admin"), f"A film {uuid.uuid4()}"
    key = {"Idempotency-Key": uuid.uuid4().hex}
    body = {"title": title, "provider": provider}
    return Scene(Call("POST", "upload-asset", body, admin.token, key), admin, title=title)


def announce_a_film(world: World) -> Scene:
    return _announce(world, "mux")


def announce_a_film_at_cloudflare(world: World) -> Scene:
    return _announce(world, "cloudflare")


def change_a_film(world: World) -> Scene:
    admin, title = world.person(role="admin"), f"A film {uuid.uuid4()}"
    film = world.film(title="Before")
    call = Call("PATCH", f"manage-video?video_id={film}", {"title": title}, admin.token)
    return Scene(call, admin, title=title, twice=frozenset({"noted: video_changed"}))


def withdraw_a_film(world: World) -> Scene:
    admin, title = world.person(role="admin"), f"A film {uuid.uuid4()}"
    film = world.film(title=title)
    return Scene(Call("DELETE", f"manage-video?video_id={film}", token=admin.token), admin, title=title)


def delete_a_film(world: World) -> Scene:
    film, title = _announced(world, "mux")
    admin = world.person(role="admin")
    call = Call("DELETE", f"manage-video?video_id={film}&purge=now", token=admin.token)
    return Scene(call, admin, title=title, twice=frozenset({"noted: video_deleted"}))


def hear_from_mux(world: World) -> Scene:
    film = mux.Film(world.database)
    title = _titled(world, film.id)
    body = film.ready()
    header = {"mux-signature": mux.signature(body, world.environment["MUX_WEBHOOK_SECRETS"])}
    return Scene(Call("POST", "mux-webhook", body.decode(), headers=header), title=title)


def hear_from_cloudflare(world: World) -> Scene:
    film = cloudflare.Film(world.database)
    title = _titled(world, film.id)
    body = film.says()
    header = {
        "Webhook-Signature": cloudflare.signature(body, world.environment["CLOUDFLARE_WEBHOOK_SECRETS"])
    }
    return Scene(Call("POST", "cloudflare-webhook", body.decode(), headers=header), title=title)


def _titled(world: World, film: uuid.UUID) -> str:
    title = f"A film {film}"
    world.sql("UPDATE videos SET title = :title WHERE id = :film", title=title, film=film)
    return title


# -- watching ---------------------------------------------------------------------------------------------


def begin_to_watch(world: World) -> Scene:
    person = world.person()
    world.entitle(person)
    return Scene(Call("GET", f"get-playback?video_id={world.film()}", token=person.token), person)


def _watching(world: World, **beat: Any) -> Scene:
    person = world.person()
    world.entitle(person)
    playing = world.done(Call("GET", f"get-playback?video_id={world.film()}", token=person.token))
    body = {"session_id": playing.body["session_id"], "position": 42.0} | beat
    return Scene(Call("POST", "heartbeat", body, person.token), person)


def go_on_watching(world: World) -> Scene:
    return _watching(world)


def stop_watching(world: World) -> Scene:
    return _watching(world, stop=True)


def reconcile(world: World) -> Scene:
    """A mail, an event and a closure whose tasks were lost, and what Stripe's list holds of these two."""
    world.catch_up()
    person, leaver = world.person(), world.person()
    customer = world.customer(person)
    world.customer(leaver)
    world.done(Call("POST", "reset-password", {"email": person.email}))
    world.done(_told(world, event(customer)))
    world.done(Call("DELETE", "account", {"password": PASSWORD}, leaver.token))
    world.queue.waiting.clear()
    for lost in (
        "UPDATE mails SET due_at = now() - interval '1 s' WHERE state = 'waiting'",
        "UPDATE inbox SET enqueued_at = now() - interval '1 h' WHERE state = 'received'",
        "UPDATE closures SET enqueued_at = now() - interval '1 h'",
    ):
        world.sql(lost)

    def leaver_is_gone(_: Outcome) -> None:
        world.settle()
        assert world.stripe("customers", email=leaver.email) == []

    return Scene(
        world.reconcile(),
        person,
        customer=customer,
        at_stripe=True,
        then=leaver_is_gone,
        ahead=NO_LONGER_ON_ITS_WAY,
    )


PATHS: dict[str, Callable[[World], Scene]] = {
    path.__name__: path
    for path in (
        # First, as it catches up with whatever the others have left.
        reconcile,
        register, login, refresh, logout,
        ask_for_a_reset, reset_the_password, verify_the_email, ask_for_verification, move_to_another_email,
        change_the_name, change_the_email, change_the_password, leave,
        open_a_page, open_a_page_with_a_key, open_another_page, open_a_page_for_a_film,
        come_back_from_the_page, redeem, hear_from_stripe,
        process_an_event, sync_an_account, end_a_second_subscription, close_a_customer, send_a_mail,
        check_a_film, purge_a_film, purge_a_film_at_cloudflare,
        announce_a_film, announce_a_film_at_cloudflare, change_a_film, withdraw_a_film, delete_a_film,
        hear_from_mux, hear_from_cloudflare,
        begin_to_watch, go_on_watching, stop_watching,
    )
}  # fmt: skip


def facts(world: World, scene: Scene) -> dict[str, int]:
    """What there is of the scene's person and film, here, at Stripe and in their mailbox."""
    email = scene.person.email if scene.person else scene.email
    user = scene.person.id if scene.person else None
    if user is None and email:
        user = next(iter(world.sql("SELECT id FROM users WHERE email = :email", email=email)), None)
    about = {
        "user": str(user or uuid.UUID(int=0)),
        "email": email,
        "title": scene.title,
        "customer": scene.customer,
    }
    found = world.counted(FACTS, about) | world.counted_by(NOTED, about)
    if email:
        found |= Counter(f"mail: {subject}" for subject in world.mails(email))
    if scene.at_stripe:
        theirs = world.stripe("customers", email=email)
        found["customers at Stripe"] = len(theirs)
        for customer in theirs:
            pages = world.stripe("checkout/sessions", customer=customer["id"])
            found["pages open at Stripe"] = sum(page["status"] == "open" for page in pages)
            found["subscriptions at Stripe"] = len(world.stripe("subscriptions", customer=customer["id"]))
            charges = world.stripe("charges", customer=customer["id"])
            found["charges given back"] = sum(charge["refunded"] for charge in charges)
            found["cents given back"] = sum(charge["amount_refunded"] for charge in charges)
    return {name: count for name, count in found.items() if count}


def differences(scene: Scene, expected: dict[str, int], found: dict[str, int]) -> list[str]:
    """What is lost, and what was done twice."""
    wrong = []
    for name in sorted({*expected, *found}):
        wanted, there = expected.get(name, 0), found.get(name, 0)
        least = wanted - (name in scene.lost)
        most = wanted + (name in scene.twice)
        if not least <= there <= most:
            wrong.append(f"{name}: {there}, not {wanted}")
    return wrong
