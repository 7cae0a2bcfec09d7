"""cloudbuild.yaml's steps after the tests, run one after the other as Cloud Build does, with what they call nearby.

docker, gcloud and terraform are stand-ins that note their words: buckets are folders, an image has a digest, a plan is a
file, and an apply works or not. The scripts, the archive and the questions of the smoke test are the real ones, asked
of the running stack.
"""

import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from infra.local.processes import free_port
from infra.local.supervisor import Stack
from infra.service.app import ROOT

BUILD: dict[str, Any] = yaml.safe_load((ROOT / "cloudbuild.yaml").read_text())
DIGEST = f"sha256:{'0' * 64}"
STAND_INS = {
    "docker": """
        case $1 in inspect) echo "europe-west1-docker.pkg.dev/demo/streamly/api@$DIGEST" ;; esac
    """,
    "gcloud": """
        [ "$1" = storage ] || exit 64
        case $2 in
          cp) cp "${3/#gs:\\//$BUCKETS}" "${4/#gs:\\//$BUCKETS}" ;;
          ls) for file in "${3/#gs:\\//$BUCKETS}"*; do echo "gs:/${file#"$BUCKETS"}"; done ;;
        esac
    """,
    "terraform": """
        case $1 in
          plan) for word; do case $word in -out=*) touch "${word#-out=}" ;; esac; done ;;
          apply) exit "$(cat "$BUCKETS/apply-exits")" ;;
          output) printf %s "$API_URL" ;;
        esac
    """,
}


@dataclass
class Build:
    """One build in a workspace of its own; the buckets outlive it."""

    folder: Path
    buckets: Path
    api_url: str
    said: str = ""
    steps: dict[str, int] = field(default_factory=dict)

    def run(self, *, deploy: str = "yes", apply_exits: int = 0) -> bool:
        """Whether all of it worked. After a failed step nothing runs, unless the step may fail."""
        (self.buckets / "apply-exits").write_text(str(apply_exits))
        for step in BUILD["steps"]:
            if step["id"] == "test":
                continue
            if self._run(step, deploy) and not step.get("allowFailure"):
                return False
        return True

    def _run(self, step: dict[str, Any], deploy: str) -> int:
        script = self.folder / "step"
        script.write_text(step["script"])
        script.chmod(0o755)
        environment = {
            "PATH": f"{self.buckets}/bin:{os.environ['PATH']}",
            "BUCKETS": str(self.buckets),
            "CALLS": str(self.folder / "calls"),
            "API_URL": self.api_url,
            "DIGEST": DIGEST,
            "PROJECT_ID": "demo",
            "BUILD_ID": "b1",
            "_DEPLOY": deploy,
            "_ENVIRONMENT": "prod",
            "_REGION": "europe-west1",
        }
        done = subprocess.run(
            [script],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.said += done.stdout + done.stderr
        self.steps[step["id"]] = done.returncode
        return done.returncode

    def calls(self, tool: str) -> list[str]:
        """What a stand-in was told, in order."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.removeprefix(f"{tool} ") for line in lines if line.startswith(f"{tool} ")]


@pytest.fixture
def start(stack: Stack, tmp_path: Path) -> Callable[..., Build]:
    """`start()` makes the next build of the same project."""
    buckets = tmp_path / "buckets"
    for bucket in ("bin", "demo-source", "demo-terraform/streamly"):
        (buckets / bucket).mkdir(parents=True)
    (buckets / "demo-terraform/streamly/mine.tfvars").write_text('project = "demo"\n')
    for name, words in STAND_INS.items():
        stand_in = buckets / "bin" / name
        stand_in.write_text(f'#!/usr/bin/env bash\nset -eu\necho "{name} $*" >>"$CALLS"\n{words}')
        stand_in.chmod(0o755)
    numbers = iter(range(9))

    def make(api_url: str = stack.base_url) -> Build:
        folder = tmp_path / f"workspace{next(numbers)}"
        for name in ("main.py", "requirements.txt", ".gcloudignore"):
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        for name in ("lib", "functions", "infra/gcp"):
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".terraform")
            )
        return Build(folder, buckets, api_url)

    return make


def test_a_release_is_deployed_found_well_and_kept(start: Callable[..., Build]) -> None:
    build = start()
    assert build.run(), build.said
    release = build.folder / "build/release"
    named = (release / "release.tfvars").read_text()
    (archive,) = (build.buckets / "demo-source").iterdir()
    assert f'archive = "{archive.name}"' in named
    assert f'image = "europe-west1-docker.pkg.dev/demo/streamly/api@{DIGEST}"' in named
    kinds = [words.split()[0] for words in build.calls("terraform")]
    assert kinds == ["init", "plan", "apply", "output"]
    planned, applied = build.calls("terraform")[1:3]
    files = ["environments/prod.tfvars", f"{release}/mine.tfvars", f"{release}/release.tfvars"]
    assert [
        word.removeprefix("-var-file=") for word in planned.split() if word.startswith("-var-file=")
    ] == files
    assert applied.endswith(f" {release}/plan"), "what was shown is what is applied"
    assert build.said.count("ok   ") == 6
    with tarfile.open(build.buckets / "demo-terraform/streamly/last-good.tgz") as kept:
        names = kept.getnames()
    assert {"release.tfvars", "mine.tfvars", "gcp/functions.tf", "gcp/environments/prod.tfvars"} <= set(names)


def test_where_the_apply_fails_the_last_good_release_is_applied_again(start: Callable[..., Build]) -> None:
    first = start()
    assert first.run(), first.said
    good = (first.folder / "build/release/release.tfvars").read_text()
    second = start()
    (second.folder / "main.py").write_text("# another\n")
    assert not second.run(apply_exits=1)
    assert second.steps["rollback"] == 1
    assert "record" not in second.steps, "a release that failed is not the last good one"
    again = [words for words in second.calls("terraform") if words.startswith("apply")][-1]
    assert "-auto-approve" in again
    assert f"-var-file={second.folder}/build/good/release.tfvars" in again
    assert (second.folder / "build/good/release.tfvars").read_text() == good
    assert "going back failed too" in second.said, "this stand-in refuses both"


def test_where_the_addresses_do_not_answer_the_last_good_release_is_applied_again(
    start: Callable[..., Build],
) -> None:
    assert start().run()
    second = start("nowhere")
    assert not second.run()
    assert second.steps["apply"] == 0
    assert second.steps["smoke"] != 0
    assert second.steps["rollback"] == 1
    assert "the last good release is applied again" in second.said


def test_the_first_release_of_all_has_nothing_to_go_back_to(start: Callable[..., Build]) -> None:
    build = start("nowhere")
    assert not build.run()
    assert "there is no earlier release to go back to" in build.said
    assert [words.split()[0] for words in build.calls("terraform")] == ["init", "plan", "apply", "output"]
    assert not (build.buckets / "demo-terraform/streamly/last-good.tgz").exists()


def test_a_pull_request_touches_nothing(start: Callable[..., Build]) -> None:
    build = start()
    assert build.run(deploy="no")
    assert set(build.steps.values()) == {0}
    assert not (build.folder / "calls").exists()
    assert not (build.folder / "build").exists()


def test_the_questions_tell_a_wrong_answer(stack: Stack) -> None:
    """Of a server that is no Streamly, and of nobody."""
    for address in (f"{stack.base_url}/sandbox", f"http://127.0.0.1:{free_port()}"):
        asked = subprocess.run(
            ["python3", ROOT / "infra/gcp/deploy/smoke.py", address, "1"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert asked.returncode == 1
        assert "FAIL GET /list-plans" in asked.stdout


def test_the_steps_have_time_limits_and_a_way_back_is_never_cut_off() -> None:
    seconds = [int(step["timeout"].rstrip("s")) for step in BUILD["steps"]]
    assert sum(seconds) < int(BUILD["timeout"].rstrip("s"))
    names = [step["id"] for step in BUILD["steps"]]
    assert names[0] == "test"
    assert names.index("plan") < names.index("apply") < names.index("smoke") < names.index("rollback")
    assert names[-1] == "record"
    assert [step["id"] for step in BUILD["steps"] if step.get("allowFailure")] == ["apply", "smoke"]
