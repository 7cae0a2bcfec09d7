locals {
  # Most connections that the running code can hold: one pool a process, one process an instance. While a new
  # revision takes over, the old one's instances still hold theirs, but both serve the same traffic.
  connections = sum([for w in values(local.workloads) : w.max * w.pool])
}

resource "google_sql_database_instance" "main" {
  #checkov:skip=CKV_GCP_108:Connectors come from private addresses that have no names; each connection would wait for a lookup
  #checkov:skip=CKV_GCP_110:What changes an account is in the audit table, which cannot be rewritten; pgAudit would put personal data in the log
  #checkov:skip=CKV2_GCP_13:A line per statement; query insights measure durations
  name                = "streamly"
  region              = var.region
  database_version    = var.database.version
  deletion_protection = var.database.deletion_protection

  settings {
    edition                     = var.database.edition
    tier                        = var.database.tier
    availability_type           = var.database.high_availability ? "REGIONAL" : "ZONAL"
    disk_type                   = "PD_SSD"
    disk_size                   = var.database.disk_gb
    disk_autoresize             = true
    disk_autoresize_limit       = var.database.disk_limit_gb
    deletion_protection_enabled = var.database.deletion_protection
    retain_backups_on_delete    = true
    # Only the connectors connect, with a certificate they fetch by IAM.
    connector_enforcement = "REQUIRED"

    ip_configuration {
      ipv4_enabled    = false
      private_network = google_compute_network.main.id
      ssl_mode        = "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"
    }

    backup_configuration {
      enabled                        = true
      point_in_time_recovery_enabled = true
      start_time                     = "02:00"
      location                       = var.database.backup_location
      transaction_log_retention_days = var.database.log_days

      backup_retention_settings {
        retained_backups = var.database.backups
      }
    }

    maintenance_window {
      day          = 2
      hour         = 4
      update_track = "stable"
    }

    insights_config {
      query_insights_enabled  = true
      record_application_tags = true
      # An address is a person's.
      record_client_address = false
    }

    dynamic "database_flags" {
      for_each = {
        "cloudsql.iam_authentication" = "on"
        "max_connections"             = tostring(var.database.max_connections)
        "log_checkpoints"             = "on"
        "log_connections"             = "on"
        "log_disconnections"          = "on"
        "log_lock_waits"              = "on"
        "log_min_duration_statement"  = "-1"
        "log_min_error_statement"     = "error"
        "log_statement"               = "ddl"
        "log_temp_files"              = "0"
      }
      content {
        name  = database_flags.key
        value = database_flags.value
      }
    }
  }

  lifecycle {
    # The disk grows by itself.
    ignore_changes = [settings[0].disk_size]

    precondition {
      condition     = local.connections + var.database.reserved_connections < var.database.max_connections
      error_message = "The pools may open ${local.connections} connections and ${var.database.reserved_connections} are reserved: together they should stay below max_connections, ${var.database.max_connections}."
    }
  }

  depends_on = [google_service_networking_connection.sql]
}

resource "google_sql_database" "main" {
  name            = "streamly"
  instance        = google_sql_database_instance.main.name
  deletion_policy = "ABANDON"
}

# Nothing reads from it yet: an address for reports, and the next step when reads outgrow the primary.
resource "google_sql_database_instance" "read_pool" {
  count = var.database.read_pool_nodes > 0 ? 1 : 0

  name                 = "streamly-read"
  region               = var.region
  database_version     = var.database.version
  master_instance_name = google_sql_database_instance.main.name
  instance_type        = "READ_POOL_INSTANCE"
  node_count           = var.database.read_pool_nodes
  # Holds nothing that the primary does not.
  deletion_protection = false

  settings {
    edition               = var.database.edition
    tier                  = coalesce(var.database.read_pool_tier, var.database.tier)
    connector_enforcement = "REQUIRED"

    ip_configuration {
      ipv4_enabled    = false
      private_network = google_compute_network.main.id
      ssl_mode        = "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"
    }

    dynamic "database_flags" {
      for_each = google_sql_database_instance.main.settings[0].database_flags
      content {
        name  = database_flags.value.name
        value = database_flags.value.value
      }
    }
  }
}

# A workload logs in as its own service account, without a password. It reads and writes rows; what tables
# there are is the migration's business.
resource "google_sql_user" "workload" {
  for_each = local.database_workloads

  name           = local.database_users[each.key]
  instance       = google_sql_database_instance.main.name
  type           = "CLOUD_IAM_SERVICE_ACCOUNT"
  database_roles = ["pg_read_all_data", "pg_write_all_data"]
}

resource "google_project_iam_member" "workload_sql" {
  for_each = {
    for pair in setproduct(keys(local.database_workloads), ["cloudsql.client", "cloudsql.instanceUser"]) :
    join("/", pair) => { workload = pair[0], role = "roles/${pair[1]}" }
  }

  project = var.project
  role    = each.value.role
  member  = google_service_account.workload[each.value.workload].member
}
