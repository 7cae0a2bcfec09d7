# The functions reach the database by its private address, and each other by Google's private door. Everything else
# they talk to (Stripe, Mux, Google's APIs) is public and goes out directly: only private ranges are routed through here.
resource "google_compute_network" "main" {
  name                    = "streamly"
  auto_create_subnetworks = false

  depends_on = [google_project_service.service]
}

resource "google_compute_subnetwork" "main" {
  name                     = "streamly"
  network                  = google_compute_network.main.id
  region                   = var.region
  ip_cidr_range            = var.network.subnet
  private_ip_google_access = true

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.1
    metadata             = "EXCLUDE_ALL_METADATA"
  }
}

# Nothing connects to the instances from the network; their answers need no rule.
resource "google_compute_firewall" "deny_ingress" {
  name      = "streamly-deny-ingress"
  network   = google_compute_network.main.id
  direction = "INGRESS"
  priority  = 65000

  source_ranges = ["0.0.0.0/0"]

  deny {
    protocol = "all"
  }
}

resource "google_compute_global_address" "peering" {
  name          = "streamly-sql"
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  prefix_length = var.network.peering_prefix
  network       = google_compute_network.main.id
}

resource "google_service_networking_connection" "sql" {
  network                 = google_compute_network.main.id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.peering.name]
}

# A function that takes internal calls only knows them by the network they come through. These names lead there:
# private.googleapis.com, which counts as a private range.
resource "google_dns_managed_zone" "run" {
  name        = "streamly-run"
  dns_name    = "run.app."
  description = "Calls from function to function"
  visibility  = "private"

  private_visibility_config {
    networks {
      network_url = google_compute_network.main.id
    }
  }

  depends_on = [google_project_service.service]
}

resource "google_dns_record_set" "run" {
  for_each = {
    "run.app."   = { type = "A", rrdatas = ["199.36.153.8", "199.36.153.9", "199.36.153.10", "199.36.153.11"] }
    "*.run.app." = { type = "CNAME", rrdatas = ["run.app."] }
  }

  managed_zone = google_dns_managed_zone.run.name
  name         = each.key
  type         = each.value.type
  ttl          = 300
  rrdatas      = each.value.rrdatas
}
