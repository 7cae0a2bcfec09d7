# The identities that machines call us with. They can do nothing else.
resource "google_service_account" "caller" {
  for_each = {
    tasks     = "Cloud Tasks calls process-task as this"
    scheduler = "Cloud Scheduler calls reconcile as this"
  }

  account_id   = "caller-${each.key}"
  display_name = each.value

  depends_on = [google_project_service.service]
}

resource "google_cloud_tasks_queue" "tasks" {
  name     = "tasks"
  location = var.region

  rate_limits {
    max_dispatches_per_second = var.queue.per_second
    max_concurrent_dispatches = var.queue.concurrent
  }

  # Two hours of trying; what is still left then, reconcile puts in again from its row in the database.
  retry_config {
    max_attempts       = 30
    max_retry_duration = "7200s"
    min_backoff        = "1s"
    max_backoff        = "300s"
    max_doublings      = 8
  }

  stackdriver_logging_config {
    sampling_ratio = 1
  }

  depends_on = [google_project_service.service]
}

resource "google_cloud_tasks_queue_iam_member" "enqueuer" {
  for_each = local.enqueuing

  name     = google_cloud_tasks_queue.tasks.name
  location = var.region
  role     = "roles/cloudtasks.enqueuer"
  member   = google_service_account.workload[each.key].member
}

resource "google_service_account_iam_member" "enqueuer" {
  for_each = local.enqueuing

  service_account_id = google_service_account.caller["tasks"].name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.workload[each.key].member
}
