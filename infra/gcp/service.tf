# All functions in one Cloud Run service: fewer cold starts, one pool, no isolation between functions.
# Cloud Run cannot keep process-task and reconcile from the public then: what remains is that they check their
# callers' tokens themselves, as they always do.
resource "google_cloud_run_v2_service" "api" {
  for_each = { for name, w in local.workloads : name => w if var.runtime == "service" }

  name                = each.key
  location            = var.region
  ingress             = var.domain == null ? "INGRESS_TRAFFIC_ALL" : "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
  deletion_protection = false

  template {
    service_account                  = google_service_account.workload[each.key].email
    max_instance_request_concurrency = each.value.concurrency
    timeout                          = "${each.value.timeout}s"

    scaling {
      min_instance_count = each.value.min
      max_instance_count = each.value.max
    }

    vpc_access {
      egress = "PRIVATE_RANGES_ONLY"
      network_interfaces {
        network    = google_compute_network.main.name
        subnetwork = google_compute_subnetwork.main.name
      }
    }

    containers {
      image = var.image

      resources {
        limits            = { cpu = each.value.cpu, memory = each.value.memory }
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = local.environments[each.key]
        content {
          name  = env.key
          value = env.value
        }
      }
      dynamic "env" {
        for_each = each.value.secrets
        content {
          name = env.value
          value_source {
            secret_key_ref {
              secret  = google_secret_manager_secret.secret[env.value].secret_id
              version = google_secret_manager_secret_version.value[env.value].version
            }
          }
        }
      }
    }
  }

  depends_on = [
    google_cloud_run_v2_job.migrate,
    google_sql_user.workload,
    google_project_iam_member.workload_sql,
    google_secret_manager_secret_iam_member.reader,
    google_service_account_iam_member.deploy_acts_as,
  ]
}

resource "google_cloud_run_v2_service_iam_member" "api" {
  for_each = google_cloud_run_v2_service.api

  name     = each.value.name
  location = var.region
  role     = "roles/run.invoker"
  member   = "allUsers"
}
