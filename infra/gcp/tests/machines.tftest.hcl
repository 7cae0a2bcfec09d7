# Cloud Tasks and Cloud Scheduler: whom they call, as whom, and how often.

override_data {
  target = data.google_cloud_run_v2_service.machine["process-task"]
  values = { urls = ["https://process-task-123456789012.europe-west1.run.app"] }
}
override_data {
  target = data.google_cloud_run_v2_service.machine["reconcile"]
  values = { urls = ["https://reconcile-123456789012.europe-west1.run.app"] }
}

run "applied" {
  assert {
    condition = alltrue([
      google_cloud_scheduler_job.reconcile.http_target[0].oidc_token[0].audience == "https://reconcile-123456789012.europe-west1.run.app",
      google_cloud_scheduler_job.reconcile.http_target[0].oidc_token[0].audience == google_cloud_scheduler_job.reconcile.http_target[0].uri,
    ])
    error_message = "the scheduler's audience is reconcile's own address"
  }
  assert {
    condition     = google_cloudfunctions2_function.function["reconcile"].service_config[0].environment_variables["RECONCILE_URL"] == google_cloud_scheduler_job.reconcile.http_target[0].oidc_token[0].audience
    error_message = "reconcile expects the audience that the scheduler sends"
  }
  assert {
    condition = alltrue([
      google_cloud_scheduler_job.reconcile.http_target[0].oidc_token[0].service_account_email == google_service_account.caller["scheduler"].email,
      google_cloudfunctions2_function.function["reconcile"].service_config[0].environment_variables["SCHEDULER_SERVICE_ACCOUNT"] == google_service_account.caller["scheduler"].email,
    ])
    error_message = "the scheduler calls as the account that reconcile expects"
  }
  assert {
    condition     = google_cloud_scheduler_job.reconcile.schedule == "* * * * *"
    error_message = "reconcile runs every minute"
  }
  assert {
    condition = alltrue([
      for name in ["process-task", "reconcile", "stripe-webhook"] :
      google_cloudfunctions2_function.function[name].service_config[0].environment_variables["TASKS_URL"] == "https://process-task-123456789012.europe-west1.run.app"
    ])
    error_message = "who makes tasks and who does them agree on the audience"
  }
  assert {
    condition = alltrue([
      google_cloud_tasks_queue.tasks.retry_config[0].max_attempts >= 10,
      google_cloud_tasks_queue.tasks.retry_config[0].min_backoff == "1s",
      google_cloud_tasks_queue.tasks.retry_config[0].max_backoff == "300s",
    ])
    error_message = "a failed task is tried again, ever more slowly"
  }
  assert {
    condition = alltrue([
      google_cloud_tasks_queue.tasks.rate_limits[0].max_dispatches_per_second <= 50,
      google_cloud_tasks_queue.tasks.rate_limits[0].max_concurrent_dispatches <= local.functions["process-task"].max * local.functions["process-task"].concurrency,
    ])
    error_message = "the queue asks no more of Stripe and of process-task than they take"
  }
  assert {
    # Two connections of a pool are kept for others (lib/database/engine.py).
    condition = alltrue([
      for name in ["confirm-checkout", "create-checkout", "process-task"] : local.functions[name].concurrency <= local.functions[name].pool - 2
    ])
    error_message = "who holds a connection while Stripe is asked has one for each request that is let in"
  }
  assert {
    condition     = toset(keys(google_cloud_tasks_queue_iam_member.enqueuer)) == toset(["account", "manage-video", "reconcile", "register", "reset-password", "stripe-webhook", "verify-email"])
    error_message = "reconcile, stripe-webhook and those whose mail somebody waits for make tasks; above all login and refresh do not"
  }
  assert {
    condition     = toset(keys(google_service_account_iam_member.enqueuer)) == toset(["account", "manage-video", "reconcile", "register", "reset-password", "stripe-webhook", "verify-email"])
    error_message = "who makes tasks may name the queue's account as their caller, nobody else"
  }
}

# A wrong guess at an address does not go unnoticed.
run "wrong_address" {
  command = plan

  override_data {
    target = data.google_cloud_run_v2_service.machine["process-task"]
    values = { urls = ["https://process-task-somewhere-else.run.app"] }
  }

  expect_failures = [data.google_cloud_run_v2_service.machine["process-task"]]
}
