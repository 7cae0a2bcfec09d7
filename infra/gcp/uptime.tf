locals {
  # Seen from outside: list-videos needs the database, the other two do not.
  probes = toset(["jwks", "list-plans", "list-videos"])
}

resource "google_monitoring_uptime_check_config" "probe" {
  for_each = local.probes

  display_name = each.key
  timeout      = "10s"
  period       = "60s"

  http_check {
    path         = "/${each.key}"
    use_ssl      = true
    validate_ssl = true
  }

  monitored_resource {
    type   = "uptime_url"
    labels = { project_id = var.project, host = local.api_host }
  }

  depends_on = [google_project_service.service]
}

resource "google_monitoring_alert_policy" "uptime" {
  for_each = google_monitoring_uptime_check_config.probe

  display_name          = "${each.key} does not answer from outside"
  severity              = "CRITICAL"
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = "Fails from two regions or more"

    condition_threshold {
      filter          = "metric.type=\"monitoring.googleapis.com/uptime_check/check_passed\" AND resource.type=\"uptime_url\" AND metric.labels.check_id=\"${each.value.uptime_check_id}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 1
      duration        = "120s"

      aggregations {
        alignment_period     = "1200s"
        per_series_aligner   = "ALIGN_NEXT_OLDER"
        cross_series_reducer = "REDUCE_COUNT_FALSE"
        group_by_fields      = ["resource.label.host"]
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "What to do: ${var.runbook_url}/region-loss.md"
  }
}
