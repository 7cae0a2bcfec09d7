# What a viewer notices: whether a film opens, and how soon. Measured by Cloud Run, cold starts included. With
# runtime = "service" that is all of its requests.
locals {
  slo_service  = var.runtime == "functions" ? "get-playback" : "api"
  slo_resource = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${local.slo_service}\""
  slo_requests = "metric.type=\"run.googleapis.com/request_count\" AND ${local.slo_resource}"

  # Burn rates of the SRE workbook: 2 % of the budget in an hour wakes somebody, 5 % in six hours is for the day.
  # The short window closes the alert soon after it is over.
  burns = {
    fast = { rate = 14.4, long = "3600s", short = "300s", severity = "CRITICAL" }
    slow = { rate = 6, long = "21600s", short = "1800s", severity = "WARNING" }
  }
  slos = {
    availability = { name = google_monitoring_slo.availability.name, runbook = "database-failover" }
    latency      = { name = google_monitoring_slo.latency.name, runbook = "renewal-day" }
  }
}

resource "google_monitoring_custom_service" "playback" {
  service_id   = "playback"
  display_name = "Playback"

  depends_on = [google_project_service.service]
}

resource "google_monitoring_slo" "availability" {
  service             = google_monitoring_custom_service.playback.service_id
  slo_id              = "availability"
  display_name        = "Answered without a fault"
  goal                = var.slo.availability
  rolling_period_days = 28

  request_based_sli {
    good_total_ratio {
      total_service_filter = local.slo_requests
      bad_service_filter   = "${local.slo_requests} AND metric.labels.response_code_class=\"5xx\""
    }
  }
}

resource "google_monitoring_slo" "latency" {
  service             = google_monitoring_custom_service.playback.service_id
  slo_id              = "latency"
  display_name        = "Answered within ${var.slo.latency_ms} ms"
  goal                = var.slo.latency
  rolling_period_days = 28

  request_based_sli {
    distribution_cut {
      distribution_filter = "metric.type=\"run.googleapis.com/request_latencies\" AND ${local.slo_resource}"
      range {
        max = var.slo.latency_ms
      }
    }
  }
}

resource "google_monitoring_alert_policy" "burn" {
  for_each = {
    for pair in setproduct(keys(local.slos), keys(local.burns)) :
    join("-", pair) => merge(local.slos[pair[0]], local.burns[pair[1]], { slo = pair[0] })
  }

  display_name          = "Playback: the ${each.value.slo} budget burns at ${each.value.rate} times its pace"
  severity              = each.value.severity
  combiner              = "AND"
  notification_channels = local.channels

  dynamic "conditions" {
    for_each = [each.value.long, each.value.short]
    content {
      display_name = "Over ${conditions.value}"

      condition_threshold {
        filter          = "select_slo_burn_rate(\"${each.value.name}\", \"${conditions.value}\")"
        comparison      = "COMPARISON_GT"
        threshold_value = each.value.rate
        duration        = "0s"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "What to do: ${var.runbook_url}/${each.value.runbook}.md"
  }
}
