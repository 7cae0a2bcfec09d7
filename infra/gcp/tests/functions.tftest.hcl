# What is planned for every function, and who may call it.

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
    condition     = toset(keys(google_cloudfunctions2_function.function)) == toset(keys(local.functions))
    error_message = "every function of the map, and no other, is deployed"
  }
  assert {
    condition = alltrue([for f in google_cloudfunctions2_function.function : alltrue([
      f.service_config[0].max_instance_count >= 1,
      f.service_config[0].max_instance_count <= 1000,
      f.service_config[0].timeout_seconds >= 1,
      f.service_config[0].timeout_seconds <= 300,
      f.service_config[0].max_instance_request_concurrency >= 1,
      can(regex("^(256|512|1024)Mi$", f.service_config[0].available_memory)),
      f.service_config[0].available_cpu == "1",
    ])])
    error_message = "every function has limits: instances, time, concurrency, memory, CPU"
  }
  assert {
    condition = toset([
      for name, f in google_cloudfunctions2_function.function : name
      if f.service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY"
    ]) == toset(["process-task", "reconcile"])
    error_message = "process-task and reconcile cannot be reached from the internet, all others can"
  }
  assert {
    condition = alltrue([
      for name, f in google_cloudfunctions2_function.function :
      f.build_config[0].entry_point == replace(name, "-", "_") && f.build_config[0].runtime == "python313"
    ])
    error_message = "a function's entry point is its folder's name"
  }
  assert {
    condition = alltrue([
      for f in google_cloudfunctions2_function.function :
      f.build_config[0].source[0].storage_source[0].object == var.archive
    ])
    error_message = "every function runs the archive that is named by its content"
  }
}

run "applied" {
  assert {
    condition = toset([
      for name, binding in google_cloud_run_v2_service_iam_member.invoker : name if binding.member == "allUsers"
    ]) == toset([for name in keys(local.functions) : name if !contains(["process-task", "reconcile"], name)])
    error_message = "process-task and reconcile are not public, all others are"
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_member.invoker["process-task"].member == google_service_account.caller["tasks"].member
    error_message = "the queue's account invokes process-task"
  }
  assert {
    condition = (
      toset(keys(google_cloud_run_v2_service_iam_member.direct)) == toset(["process-task"]) &&
      google_cloud_run_v2_service_iam_member.direct["process-task"].member == google_service_account.workload["get-playback"].member
    )
    error_message = "besides the queue get-playback invokes process-task, and nobody else invokes anything that is not public"
  }
  assert {
    condition = google_cloudfunctions2_function.function["process-task"].service_config[0].environment_variables["TASKS_SERVICE_ACCOUNT"] == join(",", [
      google_service_account.caller["tasks"].email, google_service_account.workload["get-playback"].email,
    ])
    error_message = "process-task knows both, the queue's account first"
  }
  assert {
    condition     = contains(google_dns_record_set.run["run.app."].rrdatas, "199.36.153.8") && contains(google_dns_record_set.run["*.run.app."].rrdatas, "run.app.")
    error_message = "calls from function to function go through the network"
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_member.invoker["reconcile"].member == google_service_account.caller["scheduler"].member
    error_message = "only the scheduler's account invokes reconcile"
  }
  assert {
    condition = length(toset([
      for f in google_cloudfunctions2_function.function : f.service_config[0].service_account_email
    ])) == length(local.functions)
    error_message = "no two functions share a service account"
  }
  assert {
    condition = alltrue([
      for f in google_cloudfunctions2_function.function :
      f.build_config[0].service_account == google_service_account.function_build.id
    ])
    error_message = "functions are built by the account made for it"
  }
  assert {
    condition = alltrue([
      for name, f in google_cloudfunctions2_function.function :
      f.service_config[0].environment_variables["THREADS"] == tostring(local.functions[name].threads)
    ])
    error_message = "every function is told its number of threads"
  }
  assert {
    condition = alltrue([
      for name, f in google_cloudfunctions2_function.function :
      lookup(f.service_config[0].environment_variables, "DB_POOL_SIZE", "0") == tostring(local.functions[name].pool)
    ])
    error_message = "every function is told the pool that the connection budget counts on"
  }
  assert {
    condition = alltrue([
      for name, f in google_cloudfunctions2_function.function : sort(setsubtract(
        keys(f.service_config[0].environment_variables),
        ["CORS_ORIGINS", "DB_NAME", "DB_POOL_SIZE", "DB_USER", "GOOGLE_CLOUD_PROJECT", "INSTANCE_CONNECTION_NAME", "THREADS", "TRUSTED_PROXIES"],
      )) == sort(local.functions[name].settings)
    ])
    error_message = "every function is told the settings it names, and no others"
  }
  assert {
    condition = alltrue([
      for f in google_cloudfunctions2_function.function :
      f.service_config[0].environment_variables["CORS_ORIGINS"] == "https://app.example.com"
    ])
    error_message = "browsers on the client application may call, no others"
  }
  assert {
    condition = alltrue([
      for f in google_cloudfunctions2_function.function :
      f.service_config[0].environment_variables["TRUSTED_PROXIES"] == "1"
    ])
    error_message = "without a load balancer one proxy is trusted"
  }
  assert {
    condition = toset([
      for name, f in google_cloudfunctions2_function.function : name
      if f.service_config[0].direct_vpc_egress == "VPC_EGRESS_PRIVATE_RANGES_ONLY" && length(f.service_config[0].direct_vpc_network_interface) == 1
    ]) == toset([for name, f in local.functions : name if f.pool > 0])
    error_message = "who has a pool, and nobody else, is in the VPC"
  }
  assert {
    condition     = output.api_url == "https://europe-west1-demo.cloudfunctions.net" && local.settings["TOKEN_ISSUER"] == output.api_url
    error_message = "the functions' common address is the tokens' issuer"
  }
}

run "mux_alone" {
  command = plan

  variables {
    cloudflare = null
  }

  assert {
    condition = toset(keys(google_cloudfunctions2_function.function)) == setsubtract(
      keys(var.functions), ["cloudflare-webhook"]
    )
    error_message = "without Cloudflare Stream there is everything but its webhook"
  }
  assert {
    condition = alltrue(flatten([
      for f in google_cloudfunctions2_function.function : [
        for name in concat(
          keys(f.service_config[0].environment_variables),
          [for s in f.service_config[0].secret_environment_variables : s.key],
        ) : !startswith(name, "CLOUDFLARE_")
      ]
    ]))
    error_message = "a provider that is not set up gives no function a setting or a secret"
  }
  assert {
    condition     = length([for name in keys(google_secret_manager_secret.secret) : name if startswith(name, "CLOUDFLARE_")]) == 0
    error_message = "a provider that is not set up has no secrets"
  }
}

run "cloudflare_alone" {
  command = plan

  variables {
    mux = null
  }

  assert {
    condition     = !contains(keys(google_cloudfunctions2_function.function), "mux-webhook")
    error_message = "without Mux there is no webhook for it"
  }
  assert {
    condition = alltrue([
      for f in google_cloudfunctions2_function.function :
      f.service_config[0].environment_variables["VIDEO_PROVIDER"] == "cloudflare"
    ])
    error_message = "the only provider is the one for new uploads"
  }
  assert {
    condition = toset([
      for s in google_cloudfunctions2_function.function["get-playback"].service_config[0].secret_environment_variables : s.key
    ]) == toset(["ACCESS_TOKEN_KEYS", "CLOUDFLARE_SIGNING_JWK"])
    error_message = "get-playback is handed the keys it signs with, and no others"
  }
}
