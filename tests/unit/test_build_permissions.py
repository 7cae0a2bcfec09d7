"""The account that deploys: infra/gcp/build.tf says for every kind of resource what terraform may do with it.

That the permissions are enough, only Google can tell; they were read off its roles and methods one by one. What is
tested is that a kind of resource that joins later is not forgotten, and that none stays that is gone.
"""

import re

from infra.service.app import ROOT

CONFIGURATION = "\n".join(path.read_text() for path in sorted((ROOT / "infra/gcp").glob("*.tf")))
BUILD = (ROOT / "infra/gcp/build.tf").read_text()
# Of the billing account, where no permission of the project counts: build.tf gives a role there.
BILLING = {"google_billing_account_iam_member", "google_billing_budget"}


def test_the_build_may_handle_every_kind_of_resource_and_no_others() -> None:
    used = set(re.findall(r'^(?:resource|data) "(google_\w+)"', CONFIGURATION, re.MULTILINE))
    tables = BUILD[BUILD.index("deploy_roles = {") : BUILD.index("deploy_may_grant")]
    named = re.findall(r'"(google_\w+)"', tables) + re.findall(r"^    (google_\w+) +=", tables, re.MULTILINE)
    assert len(named) == len(set(named))
    assert set(named) == used - BILLING
