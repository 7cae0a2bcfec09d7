# A workload is what runs on its own: each function or, with runtime = "service", all of them together. Account,
# secrets, settings and database login hang on it; functions.tf and service.tf only say how it is run.
locals {
  providers = toset(compact([var.mux == null ? "" : "mux", var.cloudflare == null ? "" : "cloudflare"]))

  # The functions of this installation: without those of a video provider that it does not have, with what each needs
  # of those it has.
  functions = {
    for name, f in var.functions : name => merge(
      f,
      {
        secrets  = setunion(f.secrets, [for p in local.providers : try(f.providers[p].secrets, [])]...)
        settings = setunion(f.settings, [for p in local.providers : try(f.providers[p].settings, [])]...)
      },
      { for size, value in try(var.sizes[name], {}) : size => value if value != null },
    )
    if f.provider == null ? true : contains(local.providers, f.provider)
  }

  service = merge(var.service, {
    caller   = "public"
    secrets  = setunion([for f in values(local.functions) : f.secrets]...)
    settings = setunion([for f in values(local.functions) : f.settings]...)
  })

  workloads = merge(
    { for name, f in local.functions : name => f if var.runtime == "functions" },
    { for name, f in { api = local.service } : name => f if var.runtime == "service" },
  )
  database_workloads = { for name, w in local.workloads : name => w if w.pool > 0 }
  database_users = {
    for name in keys(local.database_workloads) :
    name => trimsuffix(google_service_account.workload[name].email, ".gserviceaccount.com")
  }
  # Who creates tasks also lets them call process-task as the queue's account.
  enqueuing = { for name, w in local.workloads : name => w if contains(w.settings, "TASKS_QUEUE") }

  environments = {
    for name, w in local.workloads : name => merge(
      var.mux == null ? { VIDEO_PROVIDER = "cloudflare" } : {},
      var.settings,
      { for setting in w.settings : setting => local.settings[setting] },
      {
        CORS_ORIGINS         = join(",", distinct(concat([regex("^https://[^/]+", var.app_url)], var.cors_origins)))
        GOOGLE_CLOUD_PROJECT = var.project
        THREADS              = tostring(w.threads)
        # A load balancer of ours writes one more entry at the end of X-Forwarded-For.
        TRUSTED_PROXIES = var.domain == null ? "1" : "2"
      },
      w.pool == 0 ? {} : {
        INSTANCE_CONNECTION_NAME = google_sql_database_instance.main.connection_name
        DB_NAME                  = google_sql_database.main.name
        DB_USER                  = local.database_users[name]
        DB_POOL_SIZE             = tostring(w.pool)
      },
    )
  }
}

resource "google_service_account" "workload" {
  for_each = local.workloads

  account_id   = "fn-${each.key}"
  display_name = "Runs ${each.key}"

  depends_on = [google_project_service.service]
}
