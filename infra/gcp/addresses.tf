# The addresses that process-task and reconcile were told as their own (settings.tf), against the real ones: a wrong
# audience would refuse every task. This fails the apply that brings it about, not the first payment.
data "google_cloud_run_v2_service" "machine" {
  for_each = local.machine_urls

  name     = var.runtime == "functions" ? each.key : "api"
  location = var.region

  lifecycle {
    postcondition {
      condition     = contains(self.urls, trimsuffix(each.value, "/${each.key}"))
      error_message = "${each.key} was told to expect callers at ${each.value}, which is not among its addresses."
    }
  }

  depends_on = [google_cloudfunctions2_function.function, google_cloud_run_v2_service.api]
}
