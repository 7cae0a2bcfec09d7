locals {
  secrets = setunion([for f in values(local.functions) : f.secrets]...)
  # workload/SECRET -> both
  secret_readers = merge([
    for name, w in local.workloads : {
      for secret in w.secrets : "${name}/${secret}" => { workload = name, secret = secret }
    }
  ]...)
}

resource "google_secret_manager_secret" "secret" {
  for_each = local.secrets

  secret_id           = each.key
  deletion_protection = true

  replication {
    auto {}
  }

  depends_on = [google_project_service.service]
}

# The value is write-only: it goes to Secret Manager and nowhere else. It is sent when the number in
# var.secret_versions changes; without a value then, Secret Manager refuses the empty payload and nothing else
# has been changed yet. Functions are moved to the new version before the old one is disabled.
resource "google_secret_manager_secret_version" "value" {
  for_each = local.secrets

  secret                 = google_secret_manager_secret.secret[each.key].id
  secret_data_wo         = lookup(var.secret_values, each.key, "")
  secret_data_wo_version = tostring(lookup(var.secret_versions, each.key, 1))
  deletion_policy        = "DISABLE"

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each = local.secret_readers

  secret_id = google_secret_manager_secret.secret[each.value.secret].id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.workload[each.value.workload].member
}
