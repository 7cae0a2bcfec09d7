locals {
  log_metric = { for name, metric in google_logging_metric.metric : name => "metric.type=\"logging.googleapis.com/user/${metric.name}\" AND resource.type=\"cloud_run_revision\"" }
  queue      = "resource.type=\"cloud_tasks_queue\" AND resource.labels.queue_id=\"${google_cloud_tasks_queue.tasks.name}\""
  instance   = "resource.type=\"cloudsql_database\" AND resource.labels.database_id=\"${var.project}:${google_sql_database_instance.main.name}\""

  # `over` is the threshold, `during` how long it has to be exceeded, `runbook` the page that says what to do.
  alerts = {
    server-errors = {
      title    = "Faults: more than 1 in 100 requests answered 5xx"
      severity = "CRITICAL", runbook = "database-failover", over = 0.01, during = "300s"
      filter   = "${local.log_metric["requests"]} AND metric.labels.status>=500", aligner = "ALIGN_RATE", reducer = "REDUCE_SUM"
      share_of = local.log_metric["requests"]
    }
    stripe-out-of-reach = {
      title    = "Stripe out of reach"
      severity = "ERROR", runbook = "stripe-down", over = 5, during = "300s"
      filter   = "${local.log_metric["provider_failures"]} AND metric.labels.function=one_of(\"create-checkout\",\"confirm-checkout\",\"create-portal\",\"process-task\")"
      aligner  = "ALIGN_DELTA", reducer = "REDUCE_SUM"
    }
    mux-out-of-reach = {
      title    = "Mux out of reach"
      severity = "WARNING", runbook = "mux-down", over = 2, during = "300s"
      filter   = "${local.log_metric["provider_failures"]} AND metric.labels.function=\"upload-asset\"", aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM"
    }
    invalid-signatures = {
      title    = "Webhooks with a wrong signature: a secret was rolled on one side only, or somebody is trying"
      severity = "ERROR", runbook = "key-leak", over = 10, during = "600s"
      filter   = local.log_metric["invalid_signatures"], aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM"
    }
    task-failures = {
      title    = "Tasks fail again and again"
      severity = "ERROR", runbook = "poison-event", over = 0, during = "1800s"
      filter   = local.log_metric["task_failures"], aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM"
    }
    events-left = {
      title    = "Stripe events lie about without a task"
      severity = "ERROR", runbook = "poison-event", over = 10, during = "600s"
      filter   = local.log_metric["events_left"], aligner = "ALIGN_PERCENTILE_99", reducer = "REDUCE_MAX"
    }
    events-dead = {
      title    = "Stripe events were given up"
      severity = "ERROR", runbook = "poison-event", over = 1, during = "0s"
      # Buckets begin at 0 and 1: a percentile of nothing but zeros lies below 1, of a single one above it.
      filter = local.log_metric["events_dead"], aligner = "ALIGN_PERCENTILE_99", reducer = "REDUCE_MAX"
    }
    events-missed = {
      title    = "Webhooks do not arrive: reconcile finds what they should have brought"
      severity = "WARNING", runbook = "stripe-down", over = 10, during = "600s"
      filter   = local.log_metric["events_missed"], aligner = "ALIGN_PERCENTILE_99", reducer = "REDUCE_MAX"
    }
    accounts-drifted = {
      title    = "Rows differ from Stripe"
      severity = "WARNING", runbook = "poison-event", over = 10, during = "0s"
      filter   = local.log_metric["accounts_drifted"], aligner = "ALIGN_PERCENTILE_99", reducer = "REDUCE_MAX"
    }
    customers-unknown = {
      title    = "Somebody pays and belongs to no account"
      severity = "ERROR", runbook = "poison-event", over = 1, during = "0s"
      filter   = local.log_metric["customers_unknown"], aligner = "ALIGN_PERCENTILE_99", reducer = "REDUCE_MAX"
    }
    mails-left = {
      title    = "Mails wait: the mail server takes none, or their tasks are lost"
      severity = "ERROR", runbook = "mail-down", over = 10, during = "600s"
      filter   = local.log_metric["mails_left"], aligner = "ALIGN_PERCENTILE_99", reducer = "REDUCE_MAX"
    }
    mails-given-up = {
      title    = "Mails were not sent within a day"
      severity = "ERROR", runbook = "mail-down", over = 1, during = "0s"
      filter   = local.log_metric["mails_given_up"], aligner = "ALIGN_PERCENTILE_99", reducer = "REDUCE_MAX"
    }
    mails-in-doubt = {
      title    = "Mails may not have been sent: their sender died"
      severity = "WARNING", runbook = "mail-down", over = 1, during = "0s"
      filter   = local.log_metric["mails_in_doubt"], aligner = "ALIGN_PERCENTILE_99", reducer = "REDUCE_MAX"
    }
    queue-delay = {
      title    = "Webhooks take effect more than 5 minutes late"
      severity = "ERROR", runbook = "renewal-day", over = 300000, during = "300s"
      filter   = "metric.type=\"cloudtasks.googleapis.com/queue/task_attempt_delays\" AND ${local.queue}", aligner = "ALIGN_PERCENTILE_95", reducer = "REDUCE_MAX"
    }
    queue-depth = {
      title    = "More tasks wait than an hour can work off"
      severity = "WARNING", runbook = "renewal-day", over = 3600 * var.queue.per_second, during = "300s"
      filter   = "metric.type=\"cloudtasks.googleapis.com/queue/depth\" AND ${local.queue}", aligner = "ALIGN_MEAN", reducer = "REDUCE_MAX"
    }
    database-connections = {
      title    = "Four fifths of the database's connections are open"
      severity = "WARNING", runbook = "renewal-day", over = floor(var.database.max_connections * 0.8), during = "300s"
      filter   = "metric.type=\"cloudsql.googleapis.com/database/postgresql/num_backends\" AND ${local.instance}", aligner = "ALIGN_MEAN", reducer = "REDUCE_SUM"
    }
    database-cpu = {
      title    = "The database computes at its limit"
      severity = "WARNING", runbook = "renewal-day", over = 0.9, during = "900s"
      filter   = "metric.type=\"cloudsql.googleapis.com/database/cpu/utilization\" AND ${local.instance}", aligner = "ALIGN_MEAN", reducer = "REDUCE_MAX"
    }
    database-disk = {
      title    = "The database's disk is at nine tenths of what it may grow to"
      severity = "ERROR", runbook = "database-failover", over = var.database.disk_limit_gb * 0.9 * 1024 * 1024 * 1024, during = "900s"
      filter   = "metric.type=\"cloudsql.googleapis.com/database/disk/bytes_used\" AND ${local.instance}", aligner = "ALIGN_MEAN", reducer = "REDUCE_MAX"
    }
    instances = {
      title    = "Four fifths of all instances run"
      severity = "WARNING", runbook = "cost-spike", over = floor(sum([for w in values(local.workloads) : w.max]) * 0.8), during = "900s"
      filter   = "metric.type=\"run.googleapis.com/container/instance_count\" AND resource.type=\"cloud_run_revision\" AND metric.labels.state=\"active\"", aligner = "ALIGN_MAX", reducer = "REDUCE_SUM"
    }
  }
  channels = [for channel in values(google_monitoring_notification_channel.email) : channel.id]
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.alert_emails

  display_name = each.key
  type         = "email"
  labels       = { email_address = each.key }

  depends_on = [google_project_service.service]
}

resource "google_monitoring_alert_policy" "threshold" {
  for_each = local.alerts

  display_name          = each.value.title
  severity              = each.value.severity
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = each.value.title

    condition_threshold {
      filter             = each.value.filter
      denominator_filter = try(each.value.share_of, null)
      comparison         = "COMPARISON_GT"
      threshold_value    = each.value.over
      duration           = each.value.during

      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = each.value.aligner
        cross_series_reducer = each.value.reducer
      }
      dynamic "denominator_aggregations" {
        for_each = can(each.value.share_of) ? [true] : []
        content {
          alignment_period     = "300s"
          per_series_aligner   = each.value.aligner
          cross_series_reducer = each.value.reducer
        }
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "What to do: ${var.runbook_url}/${each.value.runbook}.md"
  }
}

# Reconcile is what mends everything else, and nobody would miss it.
resource "google_monitoring_alert_policy" "reconcile_absent" {
  display_name          = "Reconcile has not run for 10 minutes"
  severity              = "CRITICAL"
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = "No reconcile answered 200"

    condition_absent {
      filter   = local.log_metric["events_left"]
      duration = "600s"

      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = "ALIGN_COUNT"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "What to do: ${var.runbook_url}/poison-event.md"
  }
}
