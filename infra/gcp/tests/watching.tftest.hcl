# Somebody is told, and knows what to do.

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
    runbook_url = "https://example.com/runbook"
    budget      = { billing_account = "000000-000000-000000", amount = 300 }
  }
  assert {
    condition = alltrue([
      for policy in concat(
        values(google_monitoring_alert_policy.threshold), values(google_monitoring_alert_policy.burn),
        values(google_monitoring_alert_policy.uptime), [google_monitoring_alert_policy.reconcile_absent],
      ) :
      can(regex("https://example.com/runbook/[a-z-]+\\.md$", policy.documentation[0].content)) && try(length(policy.notification_channels), 0) == 1
    ])
    error_message = "every alert reaches somebody and links a runbook"
  }
  assert {
    condition     = toset(keys(google_monitoring_alert_policy.burn)) == toset(["availability-fast", "availability-slow", "latency-fast", "latency-slow"])
    error_message = "both objectives alert on a fast and on a slow burn"
  }
  assert {
    condition     = google_monitoring_slo.availability.goal == 0.999 && google_monitoring_slo.latency.goal == 0.99
    error_message = "the objectives are those of var.slo"
  }
  assert {
    condition = alltrue([
      for metric in google_logging_metric.metric :
      startswith(metric.filter, "resource.type=\"cloud_run_revision\" AND jsonPayload.function:*")
    ])
    error_message = "every metric reads the functions' own log lines"
  }
  assert {
    condition = alltrue([
      google_logging_metric.metric["events_left"].value_extractor == "EXTRACT(jsonPayload.found.billing.events_left)",
      google_logging_metric.metric["events_left"].metric_descriptor[0].value_type == "DISTRIBUTION",
    ])
    error_message = "what reconcile finds is measured"
  }
  assert {
    condition = alltrue([
      for name in ["mails-left", "mails-given-up", "mails-in-doubt"] :
      length(regexall("user/streamly/${replace(name, "-", "_")}\"", google_monitoring_alert_policy.threshold[name].conditions[0].condition_threshold[0].filter)) == 1
    ])
    error_message = "mails that do not leave alert"
  }
  assert {
    condition     = lookup(google_logging_metric.metric["denials"].label_extractors, "code", "") == "EXTRACT(jsonPayload.code)"
    error_message = "denials are told apart by their reason"
  }
  assert {
    condition     = length(jsondecode(google_monitoring_dashboard.main.dashboard_json).gridLayout.widgets) == length(local.charts)
    error_message = "every chart is on the dashboard"
  }
  assert {
    condition     = google_billing_budget.monthly[0].amount[0].specified_amount[0].units == "300"
    error_message = "the budget is the one that was set"
  }
}
