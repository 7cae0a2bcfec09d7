locals {
  # Title, filter, how a series becomes a point each minute, and what one line stands for.
  charts = [
    { title = "Requests a second", filter = local.log_metric["requests"], aligner = "ALIGN_RATE", reducer = "REDUCE_SUM", by = ["metric.label.function"] },
    { title = "Faults a second", filter = "${local.log_metric["requests"]} AND metric.labels.status>=500", aligner = "ALIGN_RATE", reducer = "REDUCE_SUM", by = ["metric.label.function"] },
    { title = "Duration, 95th percentile (ms)", filter = local.log_metric["request_duration"], aligner = "ALIGN_DELTA", reducer = "REDUCE_PERCENTILE_95", by = ["metric.label.function"] },
    { title = "Denials by reason", filter = local.log_metric["denials"], aligner = "ALIGN_RATE", reducer = "REDUCE_SUM", by = ["metric.label.code"] },
    { title = "Refused streams", filter = local.log_metric["stream_refusals"], aligner = "ALIGN_RATE", reducer = "REDUCE_SUM", by = [] },
    { title = "Tasks that failed", filter = local.log_metric["task_failures"], aligner = "ALIGN_RATE", reducer = "REDUCE_SUM", by = ["metric.label.code"] },
    { title = "Events left", filter = local.log_metric["events_left"], aligner = "ALIGN_DELTA", reducer = "REDUCE_PERCENTILE_99", by = [] },
    { title = "Tasks waiting", filter = "metric.type=\"cloudtasks.googleapis.com/queue/depth\" AND ${local.queue}", aligner = "ALIGN_MEAN", reducer = "REDUCE_MAX", by = [] },
    { title = "Instances", filter = "metric.type=\"run.googleapis.com/container/instance_count\" AND resource.type=\"cloud_run_revision\"", aligner = "ALIGN_MAX", reducer = "REDUCE_SUM", by = ["resource.label.service_name"] },
    { title = "Database connections", filter = "metric.type=\"cloudsql.googleapis.com/database/postgresql/num_backends\" AND ${local.instance}", aligner = "ALIGN_MEAN", reducer = "REDUCE_SUM", by = [] },
    { title = "Database CPU", filter = "metric.type=\"cloudsql.googleapis.com/database/cpu/utilization\" AND ${local.instance}", aligner = "ALIGN_MEAN", reducer = "REDUCE_MAX", by = [] },
    { title = "Provider out of reach", filter = local.log_metric["provider_failures"], aligner = "ALIGN_RATE", reducer = "REDUCE_SUM", by = ["metric.label.function"] },
  ]
}

resource "google_monitoring_dashboard" "main" {
  dashboard_json = jsonencode({
    displayName = "Streamly"
    gridLayout = {
      columns = "3"
      widgets = [for chart in local.charts : {
        title = chart.title
        xyChart = {
          dataSets = [{
            plotType = "LINE"
            timeSeriesQuery = {
              timeSeriesFilter = {
                filter = chart.filter
                aggregation = {
                  alignmentPeriod    = "60s"
                  perSeriesAligner   = chart.aligner
                  crossSeriesReducer = chart.reducer
                  groupByFields      = chart.by
                }
              }
            }
          }]
        }
      }]
    }
  })
}
