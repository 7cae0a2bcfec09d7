locals {
  # What Cloud Run calls a service before it exists: https://cloud.google.com/run/docs/triggering/https-request.
  # A function cannot be told the `uri` that its own creation yields, and process-task and reconcile have to know
  # theirs: it is the audience of their callers. addresses.tf checks that the guess was right.
  run_urls = {
    for name in keys(local.workloads) :
    name => "https://${name}-${data.google_project.this.number}.${var.region}.run.app"
  }
  # Where each function is called from inside the project: Cloud Tasks and Cloud Scheduler count as internal only
  # on a service's own run.app address.
  machine_urls = {
    for name, f in var.functions :
    name => var.runtime == "functions" ? local.run_urls[name] : "${local.run_urls["api"]}/${name}"
    if f.caller != "public"
  }

  # Called function => who calls it by itself.
  direct_callers = { for name, f in var.functions : name => f.direct if f.direct != null }

  api_host = coalesce(
    var.domain,
    var.runtime == "functions"
    ? "${var.region}-${var.project}.cloudfunctions.net"
    : trimprefix(lookup(local.run_urls, "api", ""), "https://"),
  )
  api_url = "https://${local.api_host}"

  # Values of the settings that functions name in the map. A new one is a line here and its name there.
  settings = {
    APP_URL                   = var.app_url
    CLOUDFLARE_ACCOUNT_ID     = try(var.cloudflare.account_id, null)
    CLOUDFLARE_CUSTOMER_CODE  = try(var.cloudflare.customer_code, null)
    CLOUDFLARE_SIGNING_KEY_ID = try(var.cloudflare.signing_key_id, null)
    MAIL_FROM                 = var.mail_from
    MUX_SIGNING_KEY_ID        = try(var.mux.signing_key_id, null)
    MUX_TOKEN_ID              = try(var.mux.token_id, null)
    PLANS                     = jsonencode(var.plans)
    RECONCILE_URL             = one([for name, url in local.machine_urls : url if name == "reconcile"])
    SCHEDULER_SERVICE_ACCOUNT = google_service_account.caller["scheduler"].email
    TASKS_QUEUE               = google_cloud_tasks_queue.tasks.id
    # The queue's account first. As one service, that service calls itself.
    TASKS_SERVICE_ACCOUNT = join(",", concat(
      [google_service_account.caller["tasks"].email],
      [
        for name, from in local.direct_callers :
        google_service_account.workload[var.runtime == "functions" ? from : "api"].email if name == "process-task"
      ],
    ))
    TASKS_URL      = one([for name, url in local.machine_urls : url if name == "process-task"])
    TOKEN_AUDIENCE = var.token_audience
    TOKEN_ISSUER   = local.api_url
  }
}
