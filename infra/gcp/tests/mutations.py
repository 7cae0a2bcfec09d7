"""Shows every fact of *.tftest.hcl red once: breaks a copy of the configuration in one place and runs the tests.

Takes ten minutes, so it is run by hand after a fact was added: `make mutations`. Arguments: words that the facts to
try should contain.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

CONFIGURATION = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Mutation:
    """`old` becomes `new` in `file`; then `fact`, an error message or a run that expects a failure, is red."""

    fact: str
    file: str
    old: str
    new: str


MAP = "functions.auto.tfvars.json"
LINE_OF_LOGIN = '"login": {"pool": 2, "max": 4, "secrets": ["ACCESS_TOKEN_KEYS"]'
MUTATIONS = [
    # functions.tftest.hcl
    Mutation(
        "every function of the map, and no other, is deployed",
        "functions.tf",
        'if var.runtime == "functions" }',
        'if var.runtime == "functions" && name != "jwks" }',
    ),
    Mutation(
        "every function has limits: instances, time, concurrency, memory, CPU",
        MAP,
        LINE_OF_LOGIN,
        LINE_OF_LOGIN.replace('"max": 4', '"max": 4, "timeout": 3600'),
    ),
    Mutation(
        "process-task and reconcile cannot be reached from the internet, all others can",
        "functions.tf",
        '? "ALLOW_INTERNAL_ONLY"',
        '? "ALLOW_ALL"',
    ),
    Mutation(
        "a function's entry point is its folder's name",
        "functions.tf",
        'replace(each.key, "-", "_")',
        "each.key",
    ),
    Mutation(
        "every function runs the archive that is named by its content",
        "functions.tf",
        "object = var.archive",
        'object = "functions.zip"',
    ),
    Mutation(
        "process-task and reconcile are not public, all others are",
        "functions.tf",
        '== "public" ? "allUsers"',
        '!= "tasks" ? "allUsers"',
    ),
    Mutation(
        "browsers on the client application may call, no others",
        "workloads.tf",
        'join(",", distinct(',
        'join(",", concat(["*"], ',
    ),
    Mutation("the queue's account invokes process-task", MAP, '"caller": "tasks"', '"caller": "scheduler"'),
    Mutation(
        "besides the queue get-playback invokes process-task, and nobody else invokes anything that is not public",
        MAP,
        '"direct": "get-playback"',
        '"direct": "heartbeat"',
    ),
    Mutation(
        "process-task knows both, the queue's account first",
        "settings.tf",
        'email if name == "process-task"',
        'email if name == "reconcile"',
    ),
    Mutation(
        "calls from function to function go through the network",
        "network.tf",
        "199.36.153.8",
        "199.36.153.4",
    ),
    Mutation(
        "the mail server's password is read by process-task alone",
        MAP,
        LINE_OF_LOGIN,
        LINE_OF_LOGIN.replace('"secrets": [', '"secrets": ["SMTP_URL", '),
    ),
    Mutation(
        "only the scheduler's account invokes reconcile", MAP, '"caller": "scheduler"', '"caller": "tasks"'
    ),
    Mutation(
        "no two functions share a service account",
        "functions.tf",
        "google_service_account.workload[each.key].email",
        'google_service_account.workload["jwks"].email',
    ),
    Mutation(
        "functions are built by the account made for it",
        "functions.tf",
        "service_account   = google_service_account.function_build.id",
        "",
    ),
    Mutation("every function is told its number of threads", "workloads.tf", "tostring(w.threads)", '"4"'),
    Mutation(
        "every function is told the pool that the connection budget counts on",
        "workloads.tf",
        "tostring(w.pool)",
        '"5"',
    ),
    Mutation(
        "every function is told the settings it names, and no others",
        "workloads.tf",
        "for setting in w.settings :",
        'for setting in setunion(w.settings, ["PLANS"]) :',
    ),
    Mutation("without a load balancer one proxy is trusted", "workloads.tf", '? "1" : "2"', '? "2" : "2"'),
    Mutation(
        "who has a pool, and nobody else, is in the VPC",
        "functions.tf",
        "each.value.pool == 0 ? null :",
        "each.value.pool <= 1 ? null :",
    ),
    Mutation(
        "the functions' common address is the tokens' issuer",
        "settings.tf",
        "TOKEN_ISSUER   = local.api_url",
        "TOKEN_ISSUER   = var.app_url",
    ),
    Mutation(
        "without Cloudflare Stream there is everything but its webhook",
        "workloads.tf",
        "if f.provider == null ? true : contains(local.providers, f.provider)",
        "if true",
    ),
    Mutation(
        "without Mux there is no webhook for it",
        "workloads.tf",
        "if f.provider == null ? true : contains(local.providers, f.provider)",
        "if true",
    ),
    Mutation(
        "a provider that is not set up gives no function a setting or a secret",
        "workloads.tf",
        "[for p in local.providers : try(f.providers[p].secrets, [])]",
        '[for p in ["mux", "cloudflare"] : try(f.providers[p].secrets, [])]',
    ),
    Mutation(
        "a provider that is not set up has no secrets",
        "workloads.tf",
        "[for p in local.providers : try(f.providers[p].secrets, [])]",
        '[for p in ["mux", "cloudflare"] : try(f.providers[p].secrets, [])]',
    ),
    Mutation(
        "get-playback is handed the keys it signs with, and no others",
        "workloads.tf",
        "[for p in local.providers : try(f.providers[p].secrets, [])]",
        '[for p in ["mux", "cloudflare"] : try(f.providers[p].secrets, [])]',
    ),
    Mutation(
        "the only provider is the one for new uploads",
        "workloads.tf",
        '{ VIDEO_PROVIDER = "cloudflare" }',
        '{ VIDEO_PROVIDER = "mux" }',
    ),
    # secrets.tftest.hcl
    Mutation(
        "login's account reads the token keys and no other secret, none of Stripe's",
        MAP,
        LINE_OF_LOGIN,
        LINE_OF_LOGIN.replace('"secrets": [', '"secrets": ["STRIPE_SECRET_KEY", '),
    ),
    Mutation(
        "Stripe's key is read by the five functions that call Stripe",
        MAP,
        '["STRIPE_WEBHOOK_SECRETS"]',
        '["STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRETS"]',
    ),
    Mutation(
        "the webhook's secret is read by stripe-webhook alone",
        MAP,
        '["MUX_WEBHOOK_SECRETS"]',
        '["MUX_WEBHOOK_SECRETS", "STRIPE_WEBHOOK_SECRETS"]',
    ),
    Mutation(
        "every function is handed the secrets it names, and no others",
        "functions.tf",
        "for_each = each.value.secrets",
        "for_each = local.secrets",
    ),
    Mutation(
        "secrets are pinned to the version that was stored",
        "functions.tf",
        "google_secret_manager_secret_version.value[secret_environment_variables.value].version",
        '"latest"',
    ),
    Mutation(
        "no secret's value is in the state",
        "secrets.tf",
        'secret_data_wo         = lookup(var.secret_values, each.key, "")',
        'secret_data            = "sk_test_of_this_test"',
    ),
    Mutation(
        "no secret's value is in a plain environment variable",
        "workloads.tf",
        "GOOGLE_CLOUD_PROJECT = var.project",
        'GOOGLE_CLOUD_PROJECT = "sk_test_of_this_test"',
    ),
    Mutation(
        "a secret is not deleted by mistake",
        "secrets.tf",
        "deletion_protection = true",
        "deletion_protection = false",
    ),
    Mutation(
        "in the whole project a function's account may log in to the database, nothing else",
        "database.tf",
        '"cloudsql.instanceUser"])',
        '"cloudsql.instanceUser", "secretmanager.secretAccessor"])',
    ),
    Mutation("who reads a secret is logged", "project.tf", '"DATA_READ"', '"DATA_WRITE"'),
    Mutation(
        "raising a secret's number stores that secret anew, and no other",
        "secrets.tf",
        "tostring(lookup(var.secret_versions, each.key, 1))",
        '"1"',
    ),
    # database.tftest.hcl
    Mutation(
        "neither terraform nor the console deletes the database",
        "database.tf",
        "deletion_protection_enabled = var.database.deletion_protection",
        "deletion_protection_enabled = false",
    ),
    Mutation(
        "there are backups, and any second of the last days can be restored",
        "database.tf",
        "point_in_time_recovery_enabled = true",
        "point_in_time_recovery_enabled = false",
    ),
    Mutation(
        "the database has no public address",
        "database.tf",
        "ipv4_enabled    = false",
        "ipv4_enabled    = true",
    ),
    Mutation(
        "the database speaks TLS with certificates, through the connectors",
        "database.tf",
        '"TRUSTED_CLIENT_CERTIFICATE_REQUIRED"',
        '"ALLOW_UNENCRYPTED_AND_ENCRYPTED"',
    ),
    Mutation(
        "service accounts log in to the database",
        "database.tf",
        '"cloudsql.iam_authentication" = "on"',
        '"cloudsql.iam_authentication" = "off"',
    ),
    Mutation(
        "the server's connection limit is the one that was counted with",
        "database.tf",
        "tostring(var.database.max_connections)",
        '"100"',
    ),
    Mutation(
        "all instances with full pools stay below the database's connections",
        "functions.tf",
        "max_instance_count               = each.value.max",
        "max_instance_count               = 100",
    ),
    Mutation(
        "slow queries can be found",
        "database.tf",
        "query_insights_enabled  = true",
        "query_insights_enabled  = false",
    ),
    Mutation(
        "a read pool is made only when asked for",
        "database.tf",
        "read_pool_nodes > 0 ? 1 : 0",
        "read_pool_nodes > 0 ? 1 : 1",
    ),
    Mutation(
        "a function has no password, and cannot change tables",
        "database.tf",
        '["pg_read_all_data", "pg_write_all_data"]',
        '["cloudsqlsuperuser"]',
    ),
    Mutation(
        "a function's database user is its service account",
        "workloads.tf",
        'trimsuffix(google_service_account.workload[name].email, ".gserviceaccount.com")',
        "google_service_account.workload[name].email",
    ),
    Mutation("who has no pool has no login", "workloads.tf", "if w.pool > 0 }", "if true }"),
    Mutation("a new image's migrations are run", "migrations.tf", "sha256(var.image)", "sha256(var.region)"),
    Mutation(
        "a read pool is as private as the primary",
        "database.tf",
        'instance_type        = "READ_POOL_INSTANCE"',
        'instance_type        = "READ_REPLICA_INSTANCE"',
    ),
    Mutation(
        "high availability is a standby in another zone",
        "database.tf",
        '? "REGIONAL" : "ZONAL"',
        '? "ZONAL" : "ZONAL"',
    ),
    # machines.tftest.hcl
    Mutation(
        "the scheduler's audience is reconcile's own address",
        "scheduler.tf",
        'audience              = local.machine_urls["reconcile"]',
        "audience              = local.api_url",
    ),
    Mutation(
        "reconcile expects the audience that the scheduler sends",
        "settings.tf",
        'url if name == "reconcile"])',
        '"${url}/" if name == "reconcile"])',
    ),
    Mutation(
        "the scheduler calls as the account that reconcile expects",
        "scheduler.tf",
        'google_service_account.caller["scheduler"].email',
        'google_service_account.caller["tasks"].email',
    ),
    Mutation("reconcile runs every minute", "scheduler.tf", '"* * * * *"', '"0 * * * *"'),
    Mutation(
        "who makes tasks and who does them agree on the audience",
        "settings.tf",
        'url if name == "process-task"])',
        '"${local.api_url}/process-task" if name == "process-task"])',
    ),
    Mutation("a failed task is tried again, ever more slowly", "tasks.tf", "= 30", "= 1"),
    Mutation(
        "who holds a connection while Stripe is asked has one for each request that is let in",
        MAP,
        '"direct": "get-playback", "pool": 10',
        '"direct": "get-playback", "pool": 9',
    ),
    Mutation(
        "who holds a connection while Stripe is asked has one for each request that is let in",
        MAP,
        '"create-checkout": {"pool": 4',
        '"create-checkout": {"pool": 3',
    ),
    Mutation(
        "the queue asks no more of Stripe and of process-task than they take",
        "tasks.tf",
        "var.queue.per_second",
        "500",
    ),
    Mutation(
        "reconcile, stripe-webhook and those whose mail somebody waits for make tasks; above all login and refresh do not",
        "tasks.tf",
        "for_each = local.enqueuing\n\n  name ",
        "for_each = local.workloads\n\n  name ",
    ),
    Mutation(
        "who makes tasks may name the queue's account as their caller, nobody else",
        "tasks.tf",
        "for_each = local.enqueuing\n\n  service_account_id",
        "for_each = local.workloads\n\n  service_account_id",
    ),
    Mutation(
        "wrong_address",
        "addresses.tf",
        'contains(self.urls, trimsuffix(each.value, "/${each.key}"))',
        "length(self.urls) > 0",
    ),
    # edge.tftest.hcl
    Mutation(
        "no domain, no load balancer",
        "edge.tf",
        "for_each = local.balanced",
        'for_each = toset(["api.example.com"])',
    ),
    Mutation(
        "every public function has its path, process-task and reconcile have none",
        "load_balancer.tf",
        'paths   = ["/${path_rule.key}", "/${path_rule.key}/*"]',
        'paths   = ["/${path_rule.key}"]',
    ),
    Mutation(
        "nobody walks around the load balancer", "functions.tf", '"ALLOW_INTERNAL_AND_GCLB"', '"ALLOW_ALL"'
    ),
    Mutation("with a load balancer two proxies are trusted", "workloads.tf", '? "1" : "2"', '? "1" : "1"'),
    Mutation(
        "Cloud Armor stands before every function",
        "load_balancer.tf",
        "security_policy       = google_compute_security_policy.edge[var.domain].id",
        "",
    ),
    Mutation(
        "passwords are not tried faster than the rate for them",
        "edge.tf",
        'contains(["login", ',
        "contains([",
    ),
    Mutation(
        "no address calls faster than the common rate",
        "edge.tf",
        'priority    = 2147483647\n    action      = "throttle"',
        'priority    = 2147483647\n    action      = "allow"',
    ),
    Mutation(
        "plain HTTP is sent to HTTPS",
        "load_balancer.tf",
        "https_redirect         = true",
        "https_redirect         = false",
    ),
    Mutation("nothing older than TLS 1.2 is spoken", "load_balancer.tf", '"TLS_1_2"', '"TLS_1_0"'),
    Mutation(
        "the domain is the tokens' issuer and what is probed",
        "uptime.tf",
        "host = local.api_host",
        'host = "localhost"',
    ),
    # service.tftest.hcl
    Mutation(
        "one service in place of the functions",
        "workloads.tf",
        'f if var.runtime == "functions" },',
        "f },",
    ),
    Mutation(
        "the service runs the image that was asked for, by digest",
        "service.tf",
        "image = var.image",
        'image = "python:3"',
    ),
    Mutation(
        "the service is handed every function's secrets, each by reference",
        "service.tf",
        "for_each = each.value.secrets",
        'for_each = setsubtract(each.value.secrets, ["STRIPE_SECRET_KEY"])',
    ),
    Mutation(
        "tasks go to process-task inside the service",
        "settings.tf",
        '"${local.run_urls["api"]}/${name}"',
        'local.run_urls["api"]',
    ),
    Mutation(
        "the budget counts the one service's pool",
        "database.tf",
        "for w in values(local.workloads) : w.max * w.pool",
        "for w in values(var.functions) : w.max * w.pool",
    ),
    # watching.tftest.hcl
    Mutation(
        "every alert reaches somebody and links a runbook",
        "slos.tf",
        "notification_channels = local.channels",
        "",
    ),
    Mutation(
        "both objectives alert on a fast and on a slow burn",
        "slos.tf",
        'latency      = { name = google_monitoring_slo.latency.name, runbook = "renewal-day" }',
        "",
    ),
    Mutation("the objectives are those of var.slo", "slos.tf", "= var.slo.availability", "= 0.9"),
    Mutation(
        "every metric reads the functions' own log lines",
        "metrics.tf",
        '"${local.request_log} AND ${each.value.filter}"',
        "each.value.filter",
    ),
    Mutation(
        "what reconcile finds is measured",
        "metrics.tf",
        'value       = "found.billing.events_left"',
        'value       = "found.events_left"',
    ),
    Mutation(
        "mails that do not leave alert",
        "alerts.tf",
        'filter   = local.log_metric["mails_in_doubt"]',
        'filter   = local.log_metric["mails_left"]',
    ),
    Mutation(
        "denials are told apart by their reason",
        "metrics.tf",
        'jsonPayload.status=(402 OR 403)"\n      labels      = { function = "STRING", code = "STRING" }',
        'jsonPayload.status=(402 OR 403)"\n      labels      = { function = "STRING", reason = "STRING" }',
    ),
    Mutation(
        "every chart is on the dashboard",
        "dashboard.tf",
        "[for chart in local.charts : {",
        "[for chart in slice(local.charts, 0, 3) : {",
    ),
    Mutation("the budget is the one that was set", "budget.tf", "tostring(var.budget.amount)", '"100"'),
    # build.tftest.hcl
    Mutation(
        "what a pull request runs may write its log",
        "build.tf",
        'role    = "roles/logging.logWriter"',
        'role    = "roles/editor"',
    ),
    Mutation(
        "a pull request is built by the account that can only log, and is not deployed",
        "build.tf",
        'google_service_account.build["check"].id',
        'google_service_account.build["deploy"].id',
    ),
    Mutation(
        "a stranger's pull request waits for a word from a maintainer",
        "build.tf",
        "COMMENTS_ENABLED_FOR_EXTERNAL_CONTRIBUTORS_ONLY",
        "COMMENTS_DISABLED",
    ),
    Mutation(
        "what is on main, and no other branch, is deployed to the environment",
        "build.tf",
        'push {\n      branch = "^main$"',
        'push {\n      branch = ".*"',
    ),
    Mutation(
        "the build's role does not read a secret's value",
        "build.tf",
        '"secretmanager.versions.get"',
        '"secretmanager.versions.get", "secretmanager.versions.access"',
    ),
    Mutation(
        "in the whole project the build has no role that reads secrets or rows, or acts as any account",
        "build.tf",
        '"roles/logging.logWriter" = []',
        '"roles/logging.logWriter" = []\n    "roles/iam.serviceAccountUser" = []',
    ),
    Mutation(
        "the build has no role that enters running instances, deletes images or sends logs elsewhere",
        "build.tf",
        '"roles/logging.logWriter" = []',
        '"roles/logging.logWriter" = []\n    "roles/run.admin" = []',
    ),
    Mutation(
        "the build's own role neither reads what others keep nor speaks as them",
        "build.tf",
        '"iam.serviceAccounts.create",',
        '"iam.serviceAccounts.create", "iam.serviceAccounts.getAccessToken",',
    ),
    Mutation(
        "the build can look at who may use the buckets that bootstrap.sh made, which every plan does",
        "build.tf",
        '"storage.buckets.getIamPolicy"',
        '"storage.buckets.get"',
    ),
    Mutation(
        "the build pushes images to the one repository, and deletes none",
        "build.tf",
        '"roles/artifactregistry.writer"',
        '"roles/artifactregistry.repoAdmin"',
    ),
    Mutation(
        "the accounts that Google makes unasked may do nothing",
        "build.tf",
        '"DEPRIVILEGE"',
        '"DISABLE"',
    ),
    Mutation(
        "functions are built from their archives' copies, and the builder reads no other bucket",
        "artifacts.tf",
        "gcf-v2-sources-",
        "",
    ),
    Mutation(
        "the build deletes neither a database nor a secret",
        "build.tf",
        '"cloudsql.instances.create",',
        '"cloudsql.instances.create", "cloudsql.instances.delete",',
    ),
    Mutation(
        "the build hands out the functions' roles and no others",
        "build.tf",
        "deploy_may_grant = [\n",
        'deploy_may_grant = [\n    "roles/owner",\n',
    ),
    Mutation(
        "the build acts as the accounts that it deploys, and as no others",
        "build.tf",
        "{ migrate = google_service_account.migrate.name,",
        '{ self = google_service_account.build["deploy"].name, migrate = google_service_account.migrate.name,',
    ),
    Mutation(
        "the build writes terraform's state, and cannot open its bucket to others",
        "build.tf",
        "roles/storage.objectUser",
        "roles/storage.admin",
    ),
    Mutation(
        "without a repository nothing is built by itself",
        "build.tf",
        'resource "google_cloudbuild_trigger" "main" {\n  count = var.repository == null ? 0 : 1',
        'resource "google_cloudbuild_trigger" "main" {\n  count = 1',
    ),
    # environments.tftest.hcl
    Mutation(
        "in dev nothing is paid for while nobody calls",
        "variables.tf",
        "min         = optional(number, 0)",
        "min         = optional(number, 1)",
    ),
    Mutation(
        "in prod the database outlives a zone, and is not deleted by mistake",
        "environments/prod.tfvars",
        "high_availability = true",
        "high_availability = false",
    ),
    Mutation(
        "in prod backups outlive the region",
        "environments/prod.tfvars",
        'backup_location   = "eu"',
        'backup_location   = "europe-west1"',
    ),
    Mutation(
        "in prod a film does not wait for a cold start",
        "environments/prod.tfvars",
        "get-playback   = { min = 2,",
        "get-playback   = {",
    ),
    Mutation(
        "in prod the queue asks no more of process-task than it takes",
        "environments/prod.tfvars",
        "concurrent = 60",
        "concurrent = 600",
    ),
    # refusals.tftest.hcl
    Mutation(
        "more_connections_than_the_database_has",
        "database.tf",
        "local.connections + var.database.reserved_connections < var.database.max_connections",
        "var.database.reserved_connections < var.database.max_connections",
    ),
    Mutation(
        "more_connections_than_the_service_may_open",
        "database.tf",
        "for w in values(local.workloads) : w.max * w.pool",
        "for w in values(local.functions) : w.max * w.pool",
    ),
    Mutation("an_image_by_tag", "variables.tf", '"@sha256:[0-9a-f]{64}$"', '"api"'),
    Mutation("an_archive_not_named_by_content", "variables.tf", '-[0-9a-f]{64}\\\\.zip$"', '"'),
    Mutation("an_empty_secret", "variables.tf", "length(trimspace(value)) > 0", "length(value) > 0"),
    Mutation(
        "a_secret_among_the_settings",
        "variables.tf",
        '"STRIPE_PORTAL_CONFIGURATION", "VIDEO_PROVIDER",',
        '"STRIPE_PORTAL_CONFIGURATION", "STRIPE_SECRET_KEY",',
    ),
    Mutation(
        "sizes_of_no_function",
        "variables.tf",
        "length(setsubtract(keys(var.sizes), keys(var.functions))) == 0",
        "length(setsubtract(keys(var.sizes), keys(var.functions))) >= 0",
    ),
    Mutation(
        "a_read_pool_without_the_edition",
        "variables.tf",
        "var.database.read_pool_nodes == 0 ||",
        "var.database.read_pool_nodes <= 1 ||",
    ),
]


def facts(page: Path) -> set[str]:
    """What a test file asserts: error messages, and the names of runs that expect a failure."""
    text = page.read_text()
    runs = re.split(r'^run "', text, flags=re.MULTILINE)[1:]
    refusals = {run.partition('"')[0] for run in runs if "expect_failures" in run}
    return refusals | set(re.findall(r'error_message = "(.*)"', text))


def is_red(mutation: Mutation, page: Path) -> bool:
    """Whether the fact fails in a copy with the mutation, where only its own test file is run."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as scratch:
        copy = Path(scratch, "gcp")
        shutil.copytree(CONFIGURATION, copy, ignore=shutil.ignore_patterns(".terraform", "__pycache__"))
        for other in (copy / "tests").glob("*.tftest.hcl"):
            if other.name != page.name:
                other.unlink()
        broken = copy / mutation.file
        text = broken.read_text()
        if mutation.old not in text:
            raise ValueError(f"{mutation.file} does not hold {mutation.old!r}")
        broken.write_text(text.replace(mutation.old, mutation.new, 1))
        # The interpreter and a folder made here; nothing comes from outside.
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "tfcheck", "check", str(copy)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=180,
            check=False,
        )
    said = " ".join(done.stdout.split())
    named = f'run "{mutation.fact}"... fail' if " " not in mutation.fact else mutation.fact
    # A configuration that is not even valid proves nothing.
    return done.returncode != 0 and named in said and "is valid" in said


def main(words: list[str]) -> int:
    pages = sorted((CONFIGURATION / "tests").glob("*.tftest.hcl"))
    where = {fact: page for page in pages for fact in facts(page)}
    tried = {mutation.fact for mutation in MUTATIONS}
    bad = [f"no mutation: {fact}" for fact in sorted(set(where) - tried)]
    bad += [f"no such fact: {fact}" for fact in sorted(tried - set(where))]
    wanted = [m for m in MUTATIONS if m.fact in where and all(word in m.fact for word in words)]
    for number, mutation in enumerate(wanted, 1):
        started = time.monotonic()
        red = is_red(mutation, where[mutation.fact])
        colour = "red" if red else "STILL GREEN"
        sys.stdout.write(
            f"{number}/{len(wanted)} {colour}: {mutation.fact} ({time.monotonic() - started:.0f} s)\n"
        )
        sys.stdout.flush()
        bad += [] if red else [f"still green: {mutation.fact}"]
    sys.stdout.write("\n".join([*bad, f"{len(where)} facts, {len(wanted)} tried, {len(bad)} wrong"]) + "\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
