# The load balancer, which exists with a domain only.

override_data {
  target = data.google_cloud_run_v2_service.machine["process-task"]
  values = { urls = ["https://process-task-123456789012.europe-west1.run.app"] }
}
override_data {
  target = data.google_cloud_run_v2_service.machine["reconcile"]
  values = { urls = ["https://reconcile-123456789012.europe-west1.run.app"] }
}

run "none" {
  command = plan

  assert {
    condition     = length(google_compute_global_forwarding_rule.https) + length(google_compute_security_policy.edge) == 0
    error_message = "no domain, no load balancer"
  }
}

run "balanced" {
  variables {
    domain = "api.example.com"
  }
  assert {
    condition = toset(flatten([
      for rule in google_compute_url_map.https["api.example.com"].path_matcher[0].path_rule : rule.paths
      ])) == toset(flatten([
      for name, f in local.functions : ["/${name}", "/${name}/*"] if f.caller == "public"
    ]))
    error_message = "every public function has its path, process-task and reconcile have none"
  }
  assert {
    condition = toset([
      for f in google_cloudfunctions2_function.function : f.service_config[0].ingress_settings
    ]) == toset(["ALLOW_INTERNAL_AND_GCLB", "ALLOW_INTERNAL_ONLY"])
    error_message = "nobody walks around the load balancer"
  }
  assert {
    condition = alltrue([
      for f in google_cloudfunctions2_function.function :
      f.service_config[0].environment_variables["TRUSTED_PROXIES"] == "2"
    ])
    error_message = "with a load balancer two proxies are trusted"
  }
  assert {
    condition = alltrue([
      for backend in google_compute_backend_service.backend :
      backend.security_policy == google_compute_security_policy.edge["api.example.com"].id
    ])
    error_message = "Cloud Armor stands before every function"
  }
  assert {
    condition = anytrue([
      for rule in google_compute_security_policy.edge["api.example.com"].rule :
      rule.action == "throttle" && rule.match[0].expr[0].expression == "request.path.matches('^/(login|refresh|register|reset-password|verify-email)(/|$)')" && rule.rate_limit_options[0].rate_limit_threshold[0].count == var.rates.credentials
      if rule.priority == 2000
    ])
    error_message = "passwords are not tried faster than the rate for them"
  }
  assert {
    condition = one([
      for rule in google_compute_security_policy.edge["api.example.com"].rule : rule.action if rule.priority == 2147483647
    ]) == "throttle"
    error_message = "no address calls faster than the common rate"
  }
  assert {
    condition     = google_compute_url_map.redirect["api.example.com"].default_url_redirect[0].https_redirect
    error_message = "plain HTTP is sent to HTTPS"
  }
  assert {
    condition     = google_compute_ssl_policy.modern["api.example.com"].min_tls_version == "TLS_1_2"
    error_message = "nothing older than TLS 1.2 is spoken"
  }
  assert {
    condition     = local.settings["TOKEN_ISSUER"] == "https://api.example.com" && alltrue([for probe in google_monitoring_uptime_check_config.probe : probe.monitored_resource[0].labels["host"] == "api.example.com"])
    error_message = "the domain is the tokens' issuer and what is probed"
  }
}
