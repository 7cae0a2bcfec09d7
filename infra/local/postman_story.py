"""The story as Postman requests with tests: the folder "The story" of docs/streamly.postman_collection.json.

Each step keeps in the collection's variables what the next one needs.
"""

from dataclasses import dataclass, field

_STATUS = "pm.test('answers {0}', () => pm.response.to.have.status({0}));"
_KEEP_LOGIN = """\
const login = pm.response.json();
pm.collectionVariables.set('access_token', login.access_token);
pm.collectionVariables.set('refresh_token', login.refresh_token);"""


@dataclass(frozen=True)
class Step:
    """One request: an operation of ours by `function`, or any address by `url`."""

    name: str
    method: str
    status: int
    function: str = ""
    url: str = ""
    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, str] | None = None
    form: dict[str, str] | None = None
    authorized: bool = False
    before: str = ""
    after: str = ""

    @property
    def tests(self) -> str:
        """The script that Postman runs on the answer."""
        return "\n".join(filter(None, [_STATUS.format(self.status), self.after]))


STORY = (
    Step(
        "Somebody makes an account",
        "POST",
        201,
        function="register",
        body={"email": "{{email}}", "password": "{{password}}", "name": "Sam"},
        before="""\
// A new viewer for each run.
pm.collectionVariables.set('email', pm.variables.replaceIn('viewer-{{$guid}}@example.com'));""",
        after="""\
pm.test('as a viewer', () => pm.expect(pm.response.json().user.role).to.equal('viewer'));""",
    ),
    Step(
        "Later they log in",
        "POST",
        200,
        function="login",
        body={"email": "{{email}}", "password": "{{password}}", "device_name": "Postman"},
        after=_KEEP_LOGIN,
    ),
    Step(
        "What can be bought",
        "GET",
        200,
        function="list-plans",
        after="""\
const plans = pm.response.json().plans;
pm.test('there is a plan', () => pm.expect(plans).to.not.be.empty);
pm.collectionVariables.set('plan', plans[0].code);""",
    ),
    Step(
        "A page to pay on",
        "POST",
        201,
        function="create-checkout",
        body={"plan": "{{plan}}"},
        authorized=True,
        after="""\
const checkout = pm.response.json();
pm.collectionVariables.set('checkout_url', checkout.checkout_url);
pm.collectionVariables.set('checkout_session_id', checkout.session_id);""",
    ),
    Step(
        "They pay (the sandbox's form; with Stripe, open checkout_url in a browser)",
        "POST",
        303,
        url="{{checkout_url}}",
        form={"card": "4242424242424242"},
        after="""\
pm.test('leads back to the application', () =>
  pm.expect(pm.response.headers.get('Location')).to.include(pm.collectionVariables.get('checkout_session_id')));""",
    ),
    Step(
        "Back in the application",
        "POST",
        200,
        function="confirm-checkout",
        body={"session_id": "{{checkout_session_id}}"},
        authorized=True,
        after="pm.test('access is open', () => pm.expect(pm.response.json().entitlement.active).to.be.true);",
    ),
    Step(
        "The account",
        "GET",
        200,
        function="account",
        authorized=True,
        after="""\
const account = pm.response.json();
pm.test('the subscription is active', () => pm.expect(account.subscription.status).to.equal('active'));
pm.test('access is open', () => pm.expect(account.entitlement.active).to.be.true);
pm.collectionVariables.set('level', account.entitlement.level);""",
    ),
    Step(
        "What is on",
        "GET",
        200,
        function="list-videos",
        after="""\
const level = Number(pm.collectionVariables.get('level'));
const film = pm.response.json().videos.find((video) => video.level <= level);
pm.test('there is a film for this plan (`make run` loads one in its first minute)', () =>
  pm.expect(film).to.be.an('object'));
pm.collectionVariables.set('video_id', film.id);""",
    ),
    Step(
        "May they watch it?",
        "GET",
        200,
        function="get-playback",
        query={"video_id": "{{video_id}}"},
        authorized=True,
        after="""\
const playback = pm.response.json();
pm.test('by what they bought', () => pm.expect(playback.entitlement.reason).to.equal('subscription'));
pm.test('nobody keeps the addresses', () => pm.response.to.have.header('Cache-Control', 'no-store'));
pm.collectionVariables.set('playback_url', playback.playback_url);
pm.collectionVariables.set('playback_session_id', playback.session_id);""",
    ),
    Step(
        "The player takes over",
        "GET",
        200,
        url="{{playback_url}}",
        after="pm.test('a playlist', () => pm.expect(pm.response.text()).to.match(/^#EXTM3U/));",
    ),
    Step("They log out", "POST", 204, function="logout", body={}, authorized=True),
    Step(
        "And are out",
        "GET",
        401,
        function="account",
        authorized=True,
        after="pm.test('says so', () => pm.expect(pm.response.json().code).to.equal('invalid_token'));",
    ),
)
