resource "google_cloud_scheduler_job" "reconcile" {
  name             = "reconcile"
  region           = var.region
  description      = "Finds what was left undone, and sees to it"
  schedule         = "* * * * *"
  time_zone        = "Etc/UTC"
  attempt_deadline = "300s"

  # The next minute is the next try.
  retry_config {
    retry_count = 0
  }

  http_target {
    http_method = "POST"
    uri         = local.machine_urls["reconcile"]
    headers     = { "Content-Type" = "application/json" }
    body        = base64encode("{}")

    oidc_token {
      service_account_email = google_service_account.caller["scheduler"].email
      audience              = local.machine_urls["reconcile"]
    }
  }

  depends_on = [data.google_cloud_run_v2_service.machine, google_service_account_iam_member.deploy_acts_as]
}
