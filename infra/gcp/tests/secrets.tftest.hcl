# Who can read what, and where values are not.

override_data {
  target = data.google_cloud_run_v2_service.machine["process-task"]
  values = { urls = ["https://process-task-123456789012.europe-west1.run.app"] }
}
override_data {
  target = data.google_cloud_run_v2_service.machine["reconcile"]
  values = { urls = ["https://reconcile-123456789012.europe-west1.run.app"] }
}

run "applied" {
  variables {
    secret_values = { STRIPE_SECRET_KEY = "sk_test_of_this_test" }
  }
  assert {
    condition = toset([
      for reader in google_secret_manager_secret_iam_member.reader : reader.secret_id
      if reader.member == google_service_account.workload["login"].member
    ]) == toset([google_secret_manager_secret.secret["ACCESS_TOKEN_KEYS"].id])
    error_message = "login's account reads the token keys and no other secret, none of Stripe's"
  }
  assert {
    condition = toset([
      for reader in google_secret_manager_secret_iam_member.reader : reader.member
      if reader.secret_id == google_secret_manager_secret.secret["STRIPE_SECRET_KEY"].id
      ]) == toset([
      for name in ["confirm-checkout", "create-checkout", "create-portal", "process-task", "reconcile"] : google_service_account.workload[name].member
    ])
    error_message = "Stripe's key is read by the five functions that call Stripe"
  }
  assert {
    condition = toset([
      for reader in google_secret_manager_secret_iam_member.reader : reader.member
      if reader.secret_id == google_secret_manager_secret.secret["STRIPE_WEBHOOK_SECRETS"].id
    ]) == toset([google_service_account.workload["stripe-webhook"].member])
    error_message = "the webhook's secret is read by stripe-webhook alone"
  }
  assert {
    condition = toset([
      for reader in google_secret_manager_secret_iam_member.reader : reader.member
      if reader.secret_id == google_secret_manager_secret.secret["SMTP_URL"].id
    ]) == toset([google_service_account.workload["process-task"].member])
    error_message = "the mail server's password is read by process-task alone"
  }
  assert {
    condition = alltrue([
      for name, f in google_cloudfunctions2_function.function :
      sort([for s in f.service_config[0].secret_environment_variables : s.key]) == sort(local.functions[name].secrets)
    ])
    error_message = "every function is handed the secrets it names, and no others"
  }
  assert {
    condition = alltrue(flatten([
      for f in google_cloudfunctions2_function.function : [
        for s in f.service_config[0].secret_environment_variables :
        s.version == google_secret_manager_secret_version.value[s.key].version && s.version != "latest"
      ]
    ]))
    error_message = "secrets are pinned to the version that was stored"
  }
  assert {
    condition = alltrue([
      for v in google_secret_manager_secret_version.value :
      v.secret_data == null && v.secret_data_wo == null && v.secret_data_wo_version == "1"
    ])
    error_message = "no secret's value is in the state"
  }
  assert {
    condition = alltrue(flatten([
      for f in google_cloudfunctions2_function.function : [
        for value in values(f.service_config[0].environment_variables) : !strcontains(value, "sk_test_of_this_test")
      ]
    ]))
    error_message = "no secret's value is in a plain environment variable"
  }
  assert {
    condition     = alltrue([for s in google_secret_manager_secret.secret : s.deletion_protection])
    error_message = "a secret is not deleted by mistake"
  }
  assert {
    condition = toset([for grant in google_project_iam_member.workload_sql : grant.role]) == toset([
      "roles/cloudsql.client", "roles/cloudsql.instanceUser",
    ])
    error_message = "in the whole project a function's account may log in to the database, nothing else"
  }
  assert {
    condition     = contains([for config in google_project_iam_audit_config.secrets.audit_log_config : config.log_type], "DATA_READ")
    error_message = "who reads a secret is logged"
  }
}

run "rotated" {
  command = plan

  variables {
    secret_versions = { STRIPE_SECRET_KEY = 2 }
    secret_values   = { STRIPE_SECRET_KEY = "sk_test_another" }
  }

  assert {
    condition = toset([
      for name, v in google_secret_manager_secret_version.value : name if v.secret_data_wo_version == "2"
    ]) == toset(["STRIPE_SECRET_KEY"])
    error_message = "raising a secret's number stores that secret anew, and no other"
  }
}
