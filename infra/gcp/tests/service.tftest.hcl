# runtime = "service": everything in one Cloud Run service.

run "applied" {
  variables {
    runtime = "service"
  }
  override_data {
    target = data.google_cloud_run_v2_service.machine["process-task"]
    values = { urls = ["https://api-123456789012.europe-west1.run.app"] }
  }
  override_data {
    target = data.google_cloud_run_v2_service.machine["reconcile"]
    values = { urls = ["https://api-123456789012.europe-west1.run.app"] }
  }

  assert {
    condition     = length(google_cloudfunctions2_function.function) == 0 && length(google_cloud_run_v2_service.api) == 1
    error_message = "one service in place of the functions"
  }
  assert {
    condition     = google_cloud_run_v2_service.api["api"].template[0].containers[0].image == var.image
    error_message = "the service runs the image that was asked for, by digest"
  }
  assert {
    condition = toset([
      for env in google_cloud_run_v2_service.api["api"].template[0].containers[0].env : env.name if length(env.value_source) > 0
    ]) == setunion([for f in values(local.functions) : f.secrets]...)
    error_message = "the service is handed every function's secrets, each by reference"
  }
  assert {
    condition = one([
      for env in google_cloud_run_v2_service.api["api"].template[0].containers[0].env : env.value if env.name == "TASKS_URL"
    ]) == "https://api-123456789012.europe-west1.run.app/process-task"
    error_message = "tasks go to process-task inside the service"
  }
  assert {
    condition     = output.connections.most == var.service.max * var.service.pool
    error_message = "the budget counts the one service's pool"
  }
}
