# Numbers out of the line that every request logs (lib/web/log.py, lib/web/function.py):
# function, method, status, code of a refusal, duration_ms, round_trips, task, found.
#
# What is not logged yet, and so has no metric here:
# - how old an event is when it has been processed (webhook lag): until then queue delay and events_left stand for
#   it, the first from Cloud Tasks itself, the second from reconcile;
# - the entitlement's reason behind a denial (payment_failed, canceled, …): the refusal's code is all there is.
locals {
  request_log = "resource.type=\"cloud_run_revision\" AND jsonPayload.function:* AND jsonPayload.status:*"

  log_metrics = {
    requests = {
      description = "Requests by function, status and refusal code"
      filter      = ""
      labels      = { function = "STRING", status = "INT64", code = "STRING" }
    }
    request_duration = {
      description = "Milliseconds inside the function, without the cold start"
      filter      = ""
      labels      = { function = "STRING" }
      value       = "duration_ms"
      unit        = "ms"
    }
    denials = {
      description = "Viewers who were refused a film, by reason"
      filter      = "jsonPayload.function=(\"get-playback\" OR \"heartbeat\") AND jsonPayload.status=(402 OR 403)"
      labels      = { function = "STRING", code = "STRING" }
    }
    stream_refusals = {
      description = "Viewers whose plan's streams were all in use"
      filter      = "jsonPayload.code=\"too_many_streams\""
      labels      = { function = "STRING" }
    }
    task_failures = {
      description = "Tasks that will be tried again"
      filter      = "jsonPayload.function=\"process-task\" AND jsonPayload.status>=400"
      labels      = { task = "STRING", code = "STRING" }
    }
    provider_failures = {
      description = "Calls refused because Stripe, Mux or the database was out of reach"
      filter      = "jsonPayload.code=\"unavailable\""
      labels      = { function = "STRING" }
    }
    invalid_signatures = {
      description = "Webhooks that nobody with our secret signed"
      filter      = "jsonPayload.code=\"invalid_signature\""
      labels      = { function = "STRING" }
    }
    events_left = {
      description = "Stripe events older than 30 s without a task, found by reconcile"
      filter      = "jsonPayload.function=\"reconcile\" AND jsonPayload.found.billing.events_left:*"
      labels      = {}
      value       = "found.billing.events_left"
      unit        = "1"
    }
    events_missed = {
      description = "Stripe events that no webhook brought, found by reconcile"
      filter      = "jsonPayload.function=\"reconcile\" AND jsonPayload.found.events.events_missed:*"
      labels      = {}
      value       = "found.events.events_missed"
      unit        = "1"
    }
    accounts_drifted = {
      description = "Accounts whose rows said something else than Stripe, found by reconcile"
      filter      = "jsonPayload.function=\"reconcile\" AND jsonPayload.found.subscriptions.accounts_drifted:*"
      labels      = {}
      value       = "found.subscriptions.accounts_drifted"
      unit        = "1"
    }
    customers_unknown = {
      description = "Paying customers at Stripe that belong to no account, found by reconcile"
      filter      = "jsonPayload.function=\"reconcile\" AND jsonPayload.found.subscriptions.customers_unknown:*"
      labels      = {}
      value       = "found.subscriptions.customers_unknown"
      unit        = "1"
    }
    events_dead = {
      description = "Stripe events that were given up and wait for an operator, counted by reconcile"
      filter      = "jsonPayload.function=\"reconcile\" AND jsonPayload.found.billing.events_dead:*"
      labels      = {}
      value       = "found.billing.events_dead"
      unit        = "1"
    }
    mails_left = {
      description = "Mails that wait longer than they should, found by reconcile"
      filter      = "jsonPayload.function=\"reconcile\" AND jsonPayload.found.mails.mails_left:*"
      labels      = {}
      value       = "found.mails.mails_left"
      unit        = "1"
    }
    mails_given_up = {
      description = "Mails that were not sent within a day, found by reconcile"
      filter      = "jsonPayload.function=\"reconcile\" AND jsonPayload.found.mails.mails_given_up:*"
      labels      = {}
      value       = "found.mails.mails_given_up"
      unit        = "1"
    }
    mails_in_doubt = {
      description = "Mails whose sender died and that may not have been sent, found by reconcile"
      filter      = "jsonPayload.function=\"reconcile\" AND jsonPayload.found.mails.mails_in_doubt:*"
      labels      = {}
      value       = "found.mails.mails_in_doubt"
      unit        = "1"
    }
  }
}

resource "google_logging_metric" "metric" {
  for_each = local.log_metrics

  name             = "streamly/${each.key}"
  description      = each.value.description
  filter           = each.value.filter == "" ? local.request_log : "${local.request_log} AND ${each.value.filter}"
  value_extractor  = can(each.value.value) ? "EXTRACT(jsonPayload.${each.value.value})" : null
  label_extractors = { for label in keys(each.value.labels) : label => "EXTRACT(jsonPayload.${label})" }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = can(each.value.value) ? "DISTRIBUTION" : "INT64"
    unit        = try(each.value.unit, "1")

    dynamic "labels" {
      for_each = each.value.labels
      content {
        key        = labels.key
        value_type = labels.value
      }
    }
  }

  dynamic "bucket_options" {
    for_each = can(each.value.value) ? [true] : []
    content {
      exponential_buckets {
        num_finite_buckets = 64
        growth_factor      = 1.3
        scale              = 1
      }
    }
  }

  depends_on = [google_project_service.service]
}
