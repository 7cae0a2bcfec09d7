# A zone may fail, and nobody's first film waits for a cold start.
environment = "prod"
region      = "europe-west1"

database = {
  tier              = "db-custom-4-16384"
  high_availability = true
  max_connections   = 600
  backups           = 30
  backup_location   = "eu"
}

sizes = {
  get-playback   = { min = 2, max = 20 }
  heartbeat      = { min = 2, max = 30 }
  list-videos    = { min = 1, max = 10 }
  login          = { min = 1, max = 20 }
  refresh        = { min = 1, max = 10 }
  account        = { max = 10 }
  process-task   = { max = 9 }
  stripe-webhook = { min = 1, max = 20 }
}

queue = { per_second = 25, concurrent = 60 }
