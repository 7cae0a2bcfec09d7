# Who builds and deploys (cloudbuild.yaml), and when. Two accounts: what a pull request proposes runs as `check`,
# which can write its log and nothing else; what is on main runs as `deploy`.
locals {
  # Roles of Google's, where one holds little beyond what is needed, and the kinds of resource each is for.
  deploy_roles = {
    "roles/cloudfunctions.admin"  = ["google_cloudfunctions2_function"]
    "roles/cloudscheduler.admin"  = ["google_cloud_scheduler_job"]
    "roles/cloudtasks.queueAdmin" = ["google_cloud_tasks_queue", "google_cloud_tasks_queue_iam_member"]
    "roles/compute.networkAdmin" = [
      "google_compute_backend_service", "google_compute_global_address", "google_compute_global_forwarding_rule",
      "google_compute_network", "google_compute_ssl_policy", "google_compute_subnetwork",
      "google_compute_target_http_proxy", "google_compute_target_https_proxy", "google_compute_url_map",
    ]
    # For the build's own log.
    "roles/logging.logWriter" = []
    "roles/monitoring.editor" = [
      "google_monitoring_alert_policy", "google_monitoring_custom_service", "google_monitoring_dashboard",
      "google_monitoring_notification_channel", "google_monitoring_slo", "google_monitoring_uptime_check_config",
    ]
    "roles/servicenetworking.networksAdmin" = ["google_service_networking_connection"]
  }

  # For the others Google's roles also read secrets' values, log in to instances, or delete databases, images and
  # logs. What is made by an operator only, terraform still has to look at.
  deploy_permissions = {
    google_artifact_registry_repository = [
      "artifactregistry.repositories.create", "artifactregistry.repositories.get",
      "artifactregistry.repositories.update",
    ]
    google_artifact_registry_repository_iam_member = [
      "artifactregistry.repositories.getIamPolicy", "artifactregistry.repositories.setIamPolicy",
    ]
    google_cloud_run_v2_job = [
      "run.executions.get", "run.jobs.create", "run.jobs.delete", "run.jobs.get", "run.jobs.run", "run.jobs.update",
      "run.operations.get",
    ]
    google_cloud_run_v2_service = [
      "run.services.create", "run.services.delete", "run.services.get", "run.services.update",
    ]
    google_cloud_run_v2_service_iam_member = ["run.services.getIamPolicy", "run.services.setIamPolicy"]
    google_cloudbuild_trigger              = ["cloudbuild.builds.get"]
    google_compute_firewall = [
      "compute.firewalls.create", "compute.firewalls.delete", "compute.firewalls.get", "compute.firewalls.update",
    ]
    google_compute_managed_ssl_certificate = [
      "compute.sslCertificates.create", "compute.sslCertificates.delete", "compute.sslCertificates.get",
    ]
    google_compute_region_network_endpoint_group = [
      "compute.regionNetworkEndpointGroups.create", "compute.regionNetworkEndpointGroups.delete",
      "compute.regionNetworkEndpointGroups.get", "compute.regionNetworkEndpointGroups.use",
    ]
    google_compute_security_policy = [
      "compute.securityPolicies.create", "compute.securityPolicies.delete", "compute.securityPolicies.get",
      "compute.securityPolicies.setLabels", "compute.securityPolicies.update", "compute.securityPolicies.use",
    ]
    google_dns_managed_zone = [
      "dns.managedZones.create", "dns.managedZones.delete", "dns.managedZones.get", "dns.managedZones.update",
      "dns.networks.bindPrivateDNSZone",
    ]
    google_dns_record_set = [
      "dns.changes.create", "dns.changes.get", "dns.resourceRecordSets.create", "dns.resourceRecordSets.delete",
      "dns.resourceRecordSets.get", "dns.resourceRecordSets.list", "dns.resourceRecordSets.update",
    ]
    google_logging_metric = [
      "logging.logMetrics.create", "logging.logMetrics.delete", "logging.logMetrics.get", "logging.logMetrics.update",
    ]
    google_project                          = ["resourcemanager.projects.get"]
    google_project_default_service_accounts = ["iam.serviceAccounts.list"]
    google_project_iam_audit_config         = ["resourcemanager.projects.getIamPolicy"]
    google_project_iam_custom_role          = ["iam.roles.get"]
    google_project_iam_member               = ["resourcemanager.projects.getIamPolicy"]
    google_project_service = [
      "serviceusage.operations.get", "serviceusage.services.enable", "serviceusage.services.get",
      "serviceusage.services.list", "serviceusage.services.use",
    ]
    google_secret_manager_secret = [
      "secretmanager.secrets.create", "secretmanager.secrets.get", "secretmanager.secrets.update",
    ]
    google_secret_manager_secret_iam_member = [
      "secretmanager.secrets.getIamPolicy", "secretmanager.secrets.setIamPolicy",
    ]
    google_secret_manager_secret_version = ["secretmanager.versions.disable", "secretmanager.versions.get"]
    google_service_account = [
      "iam.serviceAccounts.create", "iam.serviceAccounts.delete", "iam.serviceAccounts.get",
      "iam.serviceAccounts.update",
    ]
    google_service_account_iam_member = ["iam.serviceAccounts.getIamPolicy", "iam.serviceAccounts.setIamPolicy"]
    google_sql_database = [
      "cloudsql.databases.create", "cloudsql.databases.get", "cloudsql.databases.update",
    ]
    google_sql_database_instance = [
      "cloudsql.instances.create", "cloudsql.instances.get", "cloudsql.instances.list", "cloudsql.instances.update",
    ]
    google_sql_user = [
      "cloudsql.users.create", "cloudsql.users.delete", "cloudsql.users.get", "cloudsql.users.list",
      "cloudsql.users.update",
    ]
    # The bucket of the archives it administers, see below; of the two that bootstrap.sh makes it reads who may.
    google_storage_bucket            = ["storage.buckets.get"]
    google_storage_bucket_iam_member = ["storage.buckets.getIamPolicy"]
  }

  # What this configuration gives to the accounts of its functions and jobs, in the whole project.
  deploy_may_grant = [
    "roles/cloudsql.client", "roles/cloudsql.instanceUser", "roles/logging.logWriter", "roles/storage.objectViewer",
  ]

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
  description = "What a deployment needs, where no role of Google's gives just that"
  permissions = toset(flatten(values(local.deploy_permissions)))

  depends_on = [google_project_service.service]
}

resource "google_project_iam_member" "deploy" {
  #checkov:skip=CKV_GCP_41:No roles here let it act as every account; those it acts as are named one by one below
  #checkov:skip=CKV_GCP_49:Makes the functions' accounts and says who may use them; it gets no key of theirs
  for_each = toset(keys(local.deploy_roles))

  project = var.project
  role    = each.key
  member  = google_service_account.build["deploy"].member
}

resource "google_project_iam_member" "deploy_custom" {
  project = var.project
  role    = google_project_iam_custom_role.deploy.name
  member  = google_service_account.build["deploy"].member
}

# It may hand out these roles and no others. A change to this file is therefore applied by an operator.
resource "google_project_iam_member" "deploy_grants" {
  #checkov:skip=CKV_GCP_49:The condition leaves four roles that it may grant
  project = var.project
  role    = "roles/resourcemanager.projectIamAdmin"
  member  = google_service_account.build["deploy"].member

  condition {
    title      = "roles of the functions only"
    expression = "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly(${jsonencode(local.deploy_may_grant)})"
  }
}

# Whoever makes an account for a new function has to say who may act as it, and Google offers no condition on that:
# the build could let itself act as any account of the project. The project holds Streamly alone, and the accounts
# that Google makes in it unasked, which may do everything, lose their roles.
resource "google_project_default_service_accounts" "unused" {
  project = var.project
  action  = "DEPRIVILEGE"

  depends_on = [google_project_service.service]
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

resource "google_artifact_registry_repository_iam_member" "deploy" {
  repository = google_artifact_registry_repository.images.name
  location   = var.region
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.build["deploy"].member
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
