resource "google_cloudfunctions2_function" "function" {
  for_each = { for name, w in local.workloads : name => w if var.runtime == "functions" }

  name        = each.key
  location    = var.region
  description = "Streamly: ${each.key}"

  build_config {
    runtime           = var.python_runtime
    entry_point       = replace(each.key, "-", "_")
    service_account   = google_service_account.function_build.id
    docker_repository = google_artifact_registry_repository.images.id

    source {
      storage_source {
        bucket = google_storage_bucket.source.name
        object = var.archive
      }
    }
  }

  service_config {
    service_account_email            = google_service_account.workload[each.key].email
    available_memory                 = each.value.memory
    available_cpu                    = each.value.cpu
    max_instance_request_concurrency = each.value.concurrency
    min_instance_count               = each.value.min
    max_instance_count               = each.value.max
    timeout_seconds                  = each.value.timeout
    environment_variables            = local.environments[each.key]
    # With a load balancer, nobody walks around its rate rules.
    ingress_settings = (
      each.value.caller != "public" ? "ALLOW_INTERNAL_ONLY"
      : var.domain == null ? "ALLOW_ALL" : "ALLOW_INTERNAL_AND_GCLB"
    )

    direct_vpc_egress = each.value.pool == 0 ? null : "VPC_EGRESS_PRIVATE_RANGES_ONLY"
    dynamic "direct_vpc_network_interface" {
      for_each = each.value.pool == 0 ? [] : [google_compute_subnetwork.main.name]
      content {
        network    = google_compute_network.main.name
        subnetwork = direct_vpc_network_interface.value
      }
    }

    # Read when an instance starts: with a pinned version, all instances of a revision have the same.
    dynamic "secret_environment_variables" {
      for_each = each.value.secrets
      content {
        key        = secret_environment_variables.value
        project_id = data.google_project.this.number
        secret     = google_secret_manager_secret.secret[secret_environment_variables.value].secret_id
        version    = google_secret_manager_secret_version.value[secret_environment_variables.value].version
      }
    }
  }

  depends_on = [
    google_cloud_run_v2_job.migrate,
    google_sql_user.workload,
    google_project_iam_member.workload_sql,
    google_secret_manager_secret_iam_member.reader,
    google_artifact_registry_repository_iam_member.function_build,
    google_project_iam_member.function_build,
    google_project_iam_member.function_build_copies,
    google_service_account_iam_member.deploy_acts_as,
    google_storage_bucket_iam_member.function_build,
  ]
}

# Who may call is kept by the Cloud Run service under the function, and is gone when that is made anew.
resource "google_cloud_run_v2_service_iam_member" "invoker" {
  for_each = google_cloudfunctions2_function.function

  name     = each.value.name
  location = var.region
  role     = "roles/run.invoker"
  member = (
    local.workloads[each.key].caller == "public" ? "allUsers"
    : google_service_account.caller[local.workloads[each.key].caller].member
  )

  lifecycle {
    replace_triggered_by = [google_cloudfunctions2_function.function[each.key].id]
  }
}

# A function that another one calls by itself. What that one may ask for, this one decides.
resource "google_cloud_run_v2_service_iam_member" "direct" {
  for_each = { for name, from in local.direct_callers : name => from if var.runtime == "functions" }

  name     = google_cloudfunctions2_function.function[each.key].name
  location = var.region
  role     = "roles/run.invoker"
  member   = google_service_account.workload[each.value].member

  lifecycle {
    replace_triggered_by = [google_cloudfunctions2_function.function[each.key].id]
  }
}
