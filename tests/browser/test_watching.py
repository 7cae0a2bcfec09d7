"""A person joins, pays and watches; a third device has to wait its turn; who loses access stops."""

import time
import uuid
from pathlib import Path

import httpx
from playwright.sync_api import Route, expect

from tests import film
from tests.browser.conftest import PLAYBACK_SECONDS, Visit
from tests.browser.visitor import Film
from tests.factories import PASSWORD, Factory, wait_for

# What a viewer would notice: the film thrown away and loaded anew, or nothing left to play. (That the picture waits for
# a busy processor proves nothing, so `waiting` is not counted.)
_WATCH_FOR_BREAKS = """() => {
  const video = document.querySelector("video");
  const source = video.src;
  window.breaks = [];
  for (const name of ["emptied", "seeking", "pause", "error"]) {
    video.addEventListener(name, () => window.breaks.push(name));
  }
  video.addEventListener("timeupdate", () => {
    const last = video.buffered.length - 1;
    const ahead = last < 0 ? 0 : video.buffered.end(last) - video.currentTime;
    if (video.currentTime > 8 && ahead < 10) window.breaks.push(`only ${ahead} s ahead`);
    if (video.src !== source) window.breaks.push("another source");
  });
}"""


def test_a_person_joins_pays_and_watches_past_two_renewals(visit: Visit, long_film: Film) -> None:
    viewer = visit()
    viewer.open("/")
    viewer.keep("films")
    viewer.follow("Join Streamly")
    viewer.join(f"{uuid.uuid4().hex}@example.com", name="Sam")
    viewer.sees("Choose a plan")
    viewer.keep("plans")
    viewer.press("Choose Basic")
    viewer.press("Subscribe")
    viewer.sees("Thank you")
    expect(viewer.page.get_by_role("status")).to_contain_text("You are in. Basic, renews on")
    viewer.follow("To the films")
    viewer.follow(long_film.title)
    viewer.wait_until_playing(0.5)
    viewer.page.evaluate(_WATCH_FOR_BREAKS)
    viewer.wait_until_playing(2 * PLAYBACK_SECONDS + 4, patience=90_000)
    viewer.keep("player")

    # What was fetched was signed three times: at the start and at two renewals.
    segments = viewer.traffic.segments()
    assert len({segment.expires for segment in segments}) >= 3
    assert {segment.status for segment in segments} == {200}
    # Every piece once: nothing was thrown away and loaded again.
    names = [segment.url.split("?")[0] for segment in segments]
    assert len(names) == len(set(names))
    assert viewer.page.evaluate("window.breaks") == []


def test_a_film_at_cloudflare_plays_past_a_renewal_too(
    visit: Visit, film_at_cloudflare: Film, subscriber: str
) -> None:
    """Its token is in the path of every address, not in a query."""
    viewer = visit()
    viewer.sign_in(subscriber)
    viewer.watch(film_at_cloudflare)
    viewer.page.evaluate(_WATCH_FOR_BREAKS)
    viewer.wait_until_playing(PLAYBACK_SECONDS + 4, patience=60_000)
    pieces = [answer for answer in viewer.traffic.responses if answer.url.endswith(".m4s")]
    assert {piece.status for piece in pieces} == {200}
    assert len({piece.url.rsplit("/", 2)[0] for piece in pieces}) >= 2
    assert viewer.page.evaluate("window.breaks") == []


def test_somebody_goes_on_where_they_stopped_on_a_reload_and_on_another_device(
    visit: Visit, long_film: Film, subscriber: str
) -> None:
    first = visit()
    first.sign_in(subscriber)
    first.watch(long_film)
    first.page.evaluate("document.querySelector('video').currentTime = 60")
    first.wait_until_playing(61)
    first.page.reload()
    first.wait_until_playing(60)
    assert first.position < 75
    expect(first.page.get_by_role("status")).to_contain_text("You were at 1:0")
    first.press("From the beginning")
    first.page.wait_for_function("() => document.querySelector('video').currentTime < 30")
    first.page.evaluate("document.querySelector('video').currentTime = 80")
    first.wait_until_playing(81)
    first.follow("← All films")
    begun = first.page.get_by_role("region", name="Go on watching")
    begun.get_by_role("link", name=long_film.title).click()
    first.wait_until_playing(80)


def test_a_place_outlives_a_visit_that_loads_nothing(visit: Visit, long_film: Film, subscriber: str) -> None:
    viewer = visit()
    viewer.sign_in(subscriber)
    viewer.watch(long_film)
    viewer.page.evaluate("document.querySelector('video').currentTime = 60")
    viewer.wait_until_playing(61)
    viewer.follow("← All films")
    expect(viewer.page).to_have_title("Films – Streamly")
    viewer.context.route("**/*.m4s*", lambda _: None)
    viewer.follow(long_film.title)
    note = viewer.page.get_by_role("status")
    expect(note).to_contain_text("You were at 1:0")
    viewer.follow("← All films")
    expect(viewer.page).to_have_title("Films – Streamly")
    viewer.follow(long_film.title)
    expect(note).to_contain_text("You were at 1:0")


def test_a_film_seen_to_its_end_begins_from_the_start(visit: Visit, long_film: Film, subscriber: str) -> None:
    viewer = visit()
    viewer.sign_in(subscriber)
    viewer.watch(long_film)
    viewer.page.evaluate("document.querySelector('video').currentTime = 118")
    viewer.page.wait_for_function("() => document.querySelector('video').ended")
    viewer.follow("← All films")
    viewer.watch(long_film)
    assert viewer.position < 30


def test_a_player_that_lost_its_film_asks_anew_and_keeps_its_place(
    visit: Visit, long_film: Film, subscriber: str
) -> None:
    """As after a night with the lid closed: every address it knows has died."""
    viewer = visit()
    viewer.sign_in(subscriber)
    viewer.watch(long_film)
    viewer.page.evaluate("document.querySelector('video').currentTime = 40")
    viewer.wait_until_playing(41)
    asked = len(viewer.traffic.answers("get-playback"))

    def dead_until_asked_anew(route: Route) -> None:
        if len(viewer.traffic.answers("get-playback")) > asked:
            route.fallback()
        else:
            route.fulfill(status=403)

    viewer.context.route("**/*.m4s*", dead_until_asked_anew)
    viewer.page.evaluate("document.querySelector('video').currentTime = 110")
    viewer.wait_until_playing(111)
    # The next heartbeats find the place still there.
    viewer.page.wait_for_timeout(PLAYBACK_SECONDS * 1000)
    assert viewer.heading(long_film.title).is_visible()
    assert viewer.page.locator("video").count() == 1
    assert {answer.status for answer in viewer.traffic.answers("heartbeat")} <= {200, 204}


def test_the_third_device_is_refused_and_takes_over(visit: Visit, long_film: Film, subscriber: str) -> None:
    devices = [visit() for _ in range(3)]
    for device in devices:
        device.sign_in(subscriber)
    for device in devices[:2]:
        device.watch(long_film)
    third = devices[2]
    third.open("/")
    third.follow(long_film.title)
    third.sees("Your plan’s screens are all in use")
    places = third.page.get_by_role("listitem").filter(has_text="Chrome on Linux")
    expect(places).to_have_count(2)
    expect(places.first).to_contain_text(long_film.title)
    third.keep("too-many-screens")

    third.page.get_by_role("button", name="Watch here instead of on Chrome on Linux").first.click()
    third.wait_until_playing(0.5)
    stopped = "Stopped: another screen has taken this place"
    ended = wait_for(
        lambda: [device for device in devices[:2] if device.heading(stopped).is_visible()],
        PLAYBACK_SECONDS + 10,
    )
    assert len(ended) == 1
    ended[0].press("Watch here again")
    ended[0].sees("Your plan’s screens are all in use")


def test_leaving_a_film_gives_its_place_back_at_once(visit: Visit, long_film: Film, subscriber: str) -> None:
    first, second, third = (visit() for _ in range(3))
    for device in (first, second, third):
        device.sign_in(subscriber)
    first.watch(long_film)
    second.watch(long_film)
    first.follow("← All films")
    third.watch(long_film)
    second.page.close()
    first.watch(long_film)


def test_who_loses_access_mid_film_stops_within_one_token_life(
    visit: Visit, make: Factory, long_film: Film, subscriber: str
) -> None:
    viewer = visit()
    viewer.sign_in(subscriber)
    viewer.watch(long_film)
    make.control(email=subscriber, action="cancel")
    canceled = time.time()
    viewer.sees("Your plan has ended")
    viewer.keep("plan-ended")
    assert viewer.page.locator("video").count() == 0

    # Nothing was signed for longer than one life from then on: what is in the browser dies by itself.
    segments = viewer.traffic.segments()
    last = max(segment.expires for segment in segments)
    assert last <= canceled + PLAYBACK_SECONDS + 1
    newest = next(segment.url for segment in reversed(segments) if segment.expires == last)
    wait_for(lambda: time.time() > last, PLAYBACK_SECONDS + 5)
    assert httpx.get(newest).status_code == 403
    viewer.follow("See the plans")
    viewer.sees("Choose a plan")


def test_a_plan_that_is_too_small_says_so(
    visit: Visit, make: Factory, film_premium: Film, subscriber: str
) -> None:
    viewer = visit()
    viewer.sign_in(subscriber)
    viewer.open(f"/watch/{film_premium.id}")
    viewer.sees("Your plan does not include this film")


def test_a_stranger_to_the_plans_sees_the_beginning_and_rents_the_film(
    visit: Visit, make: Factory, film_file: Path
) -> None:
    rented = Film(film.upload(make, make.client(), film_file, "For one evening"), "For one evening")
    terms = {"preview_seconds": 5, "price_amount": 399, "price_currency": "usd", "rental_hours": 48}
    answer = make.admin().api.call("PATCH", "manage-video", params={"video_id": rented.id}, json=terms)
    assert answer.status_code == 200, answer.text
    viewer = visit()
    viewer.open("/")
    viewer.follow(rented.title)
    viewer.sees("Sign in to watch")
    viewer.press("Watch the beginning")
    viewer.wait_until_playing(1)
    viewer.sees("Sign in to watch")
    viewer.page.get_by_role("main").get_by_role("link", name="Sign in").click()
    viewer.page.get_by_label("Email").fill(make.person().email)
    viewer.page.get_by_label("Password").fill(PASSWORD)
    viewer.press("Sign in")
    viewer.sees("This film is part of a plan")
    viewer.keep("for-rent")
    viewer.press("Watch the beginning")
    viewer.wait_until_playing(1)
    # The beginning ends, and the way in is there again.
    viewer.sees("This film is part of a plan")
    viewer.press("Rent for 48 hours: $3.99")
    viewer.press("Pay")
    viewer.sees("Thank you")
    viewer.follow(f"Watch “{rented.title}”")
    viewer.wait_until_playing(1)


def test_a_film_that_is_gone_says_so(visit: Visit, subscriber: str) -> None:
    viewer = visit()
    viewer.sign_in(subscriber)
    viewer.open(f"/watch/{uuid.uuid4()}")
    viewer.sees("This film is not here")
