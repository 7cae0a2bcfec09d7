# Who builds and deploys (cloudbuild.yaml), and when. Two accounts: what a pull request proposes runs as `check`,
# which can write its log and nothing else; what is on main runs as `deploy`.
locals {
  deploy_roles = toset([
    "roles/artifactregistry.admin",
    "roles/browser",
    "roles/cloudbuild.builds.viewer",
    "roles/cloudfunctions.admin",
    "roles/cloudscheduler.admin",
    "roles/cloudtasks.queueAdmin",
    "roles/compute.networkAdmin",
    "roles/compute.securityAdmin",
    "roles/iam.roleViewer",
    "roles/iam.serviceAccountAdmin",
    "roles/logging.configWriter",
    "roles/logging.logWriter",
    "roles/monitoring.editor",
    "roles/run.admin",
    "roles/servicenetworking.networksAdmin",
    "roles/serviceusage.serviceUsageAdmin",
  ])

  # The roles that Google offers for these read secrets' values and delete databases.
  deploy_permissions = toset([
    "cloudsql.databases.create",
    "cloudsql.databases.get",
    "cloudsql.databases.list",
    "cloudsql.databases.update",
    "cloudsql.instances.create",
    "cloudsql.instances.get",
    "cloudsql.instances.list",
    "cloudsql.instances.update",
    "cloudsql.users.create",
    "cloudsql.users.delete",
    "cloudsql.users.get",
    "cloudsql.users.list",
    "cloudsql.users.update",
    "secretmanager.secrets.create",
    "secretmanager.secrets.get",
    "secretmanager.secrets.getIamPolicy",
    "secretmanager.secrets.list",
    "secretmanager.secrets.setIamPolicy",
    "secretmanager.secrets.update",
    "secretmanager.versions.disable",
    "secretmanager.versions.get",
    "secretmanager.versions.list",
  ])

  # What this configuration gives to the accounts of its functions and jobs, in the whole project.
  deploy_may_grant = ["roles/cloudsql.client", "roles/cloudsql.instanceUser", "roles/logging.logWriter"]

  # Whoever deploys a workload, a build or a caller of machines as an account has to be allowed to act as it.
  deployed_accounts = merge(
    { for name, account in google_service_account.workload : "workload/${name}" => account.name },
    { for name, account in google_service_account.caller : "caller/${name}" => account.name },
    { migrate = google_service_account.migrate.name, function-build = google_service_account.function_build.name },
  )
}

resource "google_service_account" "build" {
  for_each = {
    check  = "Checks and tests pull requests"
    deploy = "Builds and deploys main"
  }

  account_id   = "build-${each.key}"
  display_name = each.value

  depends_on = [google_project_service.service]
}

resource "google_project_iam_member" "check" {
  project = var.project
  role    = "roles/logging.logWriter"
  member  = google_service_account.build["check"].member
}

resource "google_project_iam_custom_role" "deploy" {
  role_id     = "streamlyDeploy"
  title       = "Deploys Streamly"
  description = "Databases and secrets as far as a deployment needs them"
  permissions = local.deploy_permissions
}

resource "google_project_iam_member" "deploy" {
  #checkov:skip=CKV_GCP_41:No roles here let it act as every account; those it acts as are named one by one below
  #checkov:skip=CKV_GCP_49:Makes the functions' accounts and says who may use them; it gets no key of theirs
  for_each = local.deploy_roles

  project = var.project
  role    = each.key
  member  = google_service_account.build["deploy"].member
}

resource "google_project_iam_member" "deploy_custom" {
  project = var.project
  role    = google_project_iam_custom_role.deploy.name
  member  = google_service_account.build["deploy"].member
}

# It may hand out these roles and no others: none to itself that it does not have. A change to this file is
# therefore applied by an operator.
resource "google_project_iam_member" "deploy_grants" {
  #checkov:skip=CKV_GCP_49:The condition leaves three roles that it may grant
  project = var.project
  role    = "roles/resourcemanager.projectIamAdmin"
  member  = google_service_account.build["deploy"].member

  condition {
    title      = "roles of the functions only"
    expression = "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly(${jsonencode(local.deploy_may_grant)})"
  }
}

resource "google_service_account_iam_member" "deploy_acts_as" {
  for_each = local.deployed_accounts

  service_account_id = each.value
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.build["deploy"].member
}

resource "google_storage_bucket_iam_member" "deploy_source" {
  bucket = google_storage_bucket.source.name
  role   = "roles/storage.admin"
  member = google_service_account.build["deploy"].member
}

# Terraform's state, made by bootstrap.sh. The installation's own variables and the last good release are there too.
resource "google_storage_bucket_iam_member" "deploy_state" {
  bucket = "${var.project}-terraform"
  role   = "roles/storage.objectUser"
  member = google_service_account.build["deploy"].member
}

# Where `gcloud builds submit` leaves the source tree for the build: made by bootstrap.sh.
resource "google_storage_bucket_iam_member" "deploy_upload" {
  bucket = "${var.project}-build"
  role   = "roles/storage.objectViewer"
  member = google_service_account.build["deploy"].member
}

resource "google_billing_account_iam_member" "deploy" {
  count = var.budget == null ? 0 : 1

  billing_account_id = var.budget.billing_account
  role               = "roles/billing.costsManager"
  member             = google_service_account.build["deploy"].member
}

resource "google_cloudbuild_trigger" "pull_request" {
  count = var.repository == null ? 0 : 1

  name            = "pull-request"
  location        = var.region
  description     = "Checks and tests; deploys nothing"
  filename        = "cloudbuild.yaml"
  service_account = google_service_account.build["check"].id
  substitutions   = { _DEPLOY = "no" }

  repository_event_config {
    repository = var.repository
    pull_request {
      branch          = "^main$"
      comment_control = "COMMENTS_ENABLED_FOR_EXTERNAL_CONTRIBUTORS_ONLY"
    }
  }
}

resource "google_cloudbuild_trigger" "main" {
  count = var.repository == null ? 0 : 1

  name            = "main"
  location        = var.region
  description     = "Checks, tests and deploys"
  filename        = "cloudbuild.yaml"
  service_account = google_service_account.build["deploy"].id
  substitutions   = { _DEPLOY = "yes", _ENVIRONMENT = var.environment, _REGION = var.region }

  repository_event_config {
    repository = var.repository
    push {
      branch = "^main$"
    }
  }
}

output "build_account" {
  description = "Who `make deploy` builds as."
  value       = google_service_account.build["deploy"].id
}
