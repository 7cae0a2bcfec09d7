# The database holds what cannot be made again.

override_data {
  target = data.google_cloud_run_v2_service.machine["process-task"]
  values = { urls = ["https://process-task-123456789012.europe-west1.run.app"] }
}
override_data {
  target = data.google_cloud_run_v2_service.machine["reconcile"]
  values = { urls = ["https://reconcile-123456789012.europe-west1.run.app"] }
}

run "planned" {
  command = plan

  assert {
    condition     = google_sql_database_instance.main.deletion_protection && google_sql_database_instance.main.settings[0].deletion_protection_enabled
    error_message = "neither terraform nor the console deletes the database"
  }
  assert {
    condition = alltrue([for backup in google_sql_database_instance.main.settings[0].backup_configuration : alltrue([
      backup.enabled, backup.point_in_time_recovery_enabled, backup.transaction_log_retention_days >= 3,
      backup.backup_retention_settings[0].retained_backups >= 7,
    ])])
    error_message = "there are backups, and any second of the last days can be restored"
  }
  assert {
    condition     = !google_sql_database_instance.main.settings[0].ip_configuration[0].ipv4_enabled
    error_message = "the database has no public address"
  }
  assert {
    condition = alltrue([
      google_sql_database_instance.main.settings[0].ip_configuration[0].ssl_mode == "TRUSTED_CLIENT_CERTIFICATE_REQUIRED",
      google_sql_database_instance.main.settings[0].connector_enforcement == "REQUIRED",
    ])
    error_message = "the database speaks TLS with certificates, through the connectors"
  }
  assert {
    condition = contains([
      for flag in google_sql_database_instance.main.settings[0].database_flags : flag.value
      if flag.name == "cloudsql.iam_authentication"
    ], "on")
    error_message = "service accounts log in to the database"
  }
  assert {
    condition = contains([
      for flag in google_sql_database_instance.main.settings[0].database_flags : flag.value if flag.name == "max_connections"
    ], tostring(var.database.max_connections))
    error_message = "the server's connection limit is the one that was counted with"
  }
  assert {
    condition = sum([
      for f in google_cloudfunctions2_function.function :
      f.service_config[0].max_instance_count * local.functions[f.name].pool
    ]) + 20 < var.database.max_connections
    error_message = "all instances with full pools stay below the database's connections"
  }
  assert {
    condition     = google_sql_database_instance.main.settings[0].insights_config[0].query_insights_enabled
    error_message = "slow queries can be found"
  }
  assert {
    condition     = length(google_sql_database_instance.read_pool) == 0
    error_message = "a read pool is made only when asked for"
  }
}

run "applied" {
  assert {
    condition = alltrue([for user in google_sql_user.workload :
      user.type == "CLOUD_IAM_SERVICE_ACCOUNT" && user.password == null && toset(user.database_roles) == toset(["pg_read_all_data", "pg_write_all_data"])
    ])
    error_message = "a function has no password, and cannot change tables"
  }
  assert {
    condition     = google_sql_user.workload["login"].name == "fn-login@demo.iam"
    error_message = "a function's database user is its service account"
  }
  assert {
    condition     = toset(keys(google_sql_user.workload)) == toset([for name, f in local.functions : name if f.pool > 0])
    error_message = "who has no pool has no login"
  }
  assert {
    condition     = google_cloud_run_v2_job.migrate.run_execution_token == substr(sha256(var.image), 0, 12)
    error_message = "a new image's migrations are run"
  }
}

run "read_pool" {
  command = plan

  variables {
    database = {
      edition         = "ENTERPRISE_PLUS", tier = "db-perf-optimized-N-4", high_availability = true, max_connections = 400
      read_pool_nodes = 2
    }
  }

  assert {
    condition = alltrue([
      google_sql_database_instance.read_pool[0].instance_type == "READ_POOL_INSTANCE",
      google_sql_database_instance.read_pool[0].node_count == 2,
      !google_sql_database_instance.read_pool[0].settings[0].ip_configuration[0].ipv4_enabled,
    ])
    error_message = "a read pool is as private as the primary"
  }
  assert {
    condition     = google_sql_database_instance.main.settings[0].availability_type == "REGIONAL"
    error_message = "high availability is a standby in another zone"
  }
}
