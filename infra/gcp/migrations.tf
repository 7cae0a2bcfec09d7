# The schema is brought up to date by a job inside the VPC. Terraform runs it whenever the image is a new one
# and waits: functions are deployed after it has succeeded, so new code never meets an old schema. Old code meets
# the new schema for a while, which every migration has to bear.
resource "google_service_account" "migrate" {
  account_id   = "migrate"
  display_name = "Runs the migrations"

  depends_on = [google_project_service.service]
}

resource "google_sql_user" "migrate" {
  name           = trimsuffix(google_service_account.migrate.email, ".gserviceaccount.com")
  instance       = google_sql_database_instance.main.name
  type           = "CLOUD_IAM_SERVICE_ACCOUNT"
  database_roles = ["cloudsqlsuperuser"]
}

resource "google_project_iam_member" "migrate" {
  for_each = toset(["roles/cloudsql.client", "roles/cloudsql.instanceUser"])

  project = var.project
  role    = each.key
  member  = google_service_account.migrate.member
}

resource "google_cloud_run_v2_job" "migrate" {
  name                = "migrate"
  location            = var.region
  deletion_protection = false
  # A new token is a new execution, and the job is only done when that is.
  run_execution_token = substr(sha256(var.image), 0, 12)

  template {
    template {
      service_account = google_service_account.migrate.email
      # The migration is one transaction: another try starts afresh.
      max_retries = 1
      timeout     = "1800s"

      vpc_access {
        egress = "PRIVATE_RANGES_ONLY"
        network_interfaces {
          network    = google_compute_network.main.name
          subnetwork = google_compute_subnetwork.main.name
        }
      }

      containers {
        image   = var.image
        command = ["python", "-m", "lib.database.migrate"]

        resources {
          limits = { cpu = "1", memory = "512Mi" }
        }

        dynamic "env" {
          for_each = {
            INSTANCE_CONNECTION_NAME = google_sql_database_instance.main.connection_name
            DB_NAME                  = google_sql_database.main.name
            DB_USER                  = google_sql_user.migrate.name
            DB_POOL_SIZE             = "1"
          }
          content {
            name  = env.key
            value = env.value
          }
        }
      }
    }
  }

  depends_on = [google_project_iam_member.migrate, google_service_account_iam_member.deploy_acts_as]
}
