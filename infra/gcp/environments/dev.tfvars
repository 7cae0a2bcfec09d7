# Small and cheap: no replica, nothing warm.
environment = "dev"
region      = "europe-west1"

database = {
  tier              = "db-custom-1-3840"
  high_availability = false
  max_connections   = 200
  backups           = 7
  log_days          = 3
}
