# dev and prod as they will be applied.

run "dev_values" {
  module {
    source = "./tests/tfvars"
  }
  variables {
    file = "environments/dev.tfvars"
  }
}

run "dev" {
  command = plan

  variables {
    environment = run.dev_values.values.environment
    region      = run.dev_values.values.region
    database    = run.dev_values.values.database
  }

  assert {
    condition     = alltrue([for f in google_cloudfunctions2_function.function : f.service_config[0].min_instance_count == 0])
    error_message = "in dev nothing is paid for while nobody calls"
  }
}

run "prod_values" {
  module {
    source = "./tests/tfvars"
  }
  variables {
    file = "environments/prod.tfvars"
  }
}

run "prod" {
  command = plan

  variables {
    environment = run.prod_values.values.environment
    region      = run.prod_values.values.region
    database    = run.prod_values.values.database
    sizes       = run.prod_values.values.sizes
    queue       = run.prod_values.values.queue
  }

  assert {
    condition     = google_sql_database_instance.main.settings[0].availability_type == "REGIONAL" && google_sql_database_instance.main.deletion_protection
    error_message = "in prod the database outlives a zone, and is not deleted by mistake"
  }
  assert {
    condition     = google_sql_database_instance.main.settings[0].backup_configuration[0].location == "eu"
    error_message = "in prod backups outlive the region"
  }
  assert {
    condition     = google_cloudfunctions2_function.function["get-playback"].service_config[0].min_instance_count >= 2
    error_message = "in prod a film does not wait for a cold start"
  }
  assert {
    condition     = google_cloud_tasks_queue.tasks.rate_limits[0].max_concurrent_dispatches <= google_cloudfunctions2_function.function["process-task"].service_config[0].max_instance_count * local.functions["process-task"].concurrency
    error_message = "in prod the queue asks no more of process-task than it takes"
  }
}
