# With a domain: one address and certificate for everything, a path for each public function, and rate rules.
# process-task and reconcile have no path here.
locals {
  public   = toset([for name, f in local.functions : name if f.caller == "public" && var.domain != null])
  backends = toset([for name, w in local.workloads : name if w.caller == "public" && var.domain != null])
  # Answers a path that is no function's, with a 404 of ours.
  fallback = var.runtime == "functions" ? "api-docs" : "api"
  balanced = var.domain == null ? toset([]) : toset([var.domain])
}

resource "google_compute_region_network_endpoint_group" "backend" {
  for_each = local.backends

  name                  = each.key
  region                = var.region
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = (
      var.runtime == "functions"
      ? google_cloudfunctions2_function.function[each.key].name
      : google_cloud_run_v2_service.api[each.key].name
    )
  }
}

resource "google_compute_backend_service" "backend" {
  for_each = local.backends

  name                  = each.key
  protocol              = "HTTPS"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  security_policy       = google_compute_security_policy.edge[var.domain].id

  backend {
    group = google_compute_region_network_endpoint_group.backend[each.key].id
  }

  # The functions log every request themselves; this is for what never reached them.
  log_config {
    enable      = true
    sample_rate = 0.1
  }
}

resource "google_compute_url_map" "https" {
  for_each = local.balanced

  name            = "streamly"
  default_service = google_compute_backend_service.backend[local.fallback].id

  host_rule {
    hosts        = [each.key]
    path_matcher = "functions"
  }

  path_matcher {
    name            = "functions"
    default_service = google_compute_backend_service.backend[local.fallback].id

    dynamic "path_rule" {
      for_each = local.public
      content {
        paths   = ["/${path_rule.key}", "/${path_rule.key}/*"]
        service = google_compute_backend_service.backend[var.runtime == "functions" ? path_rule.key : "api"].id
      }
    }
  }
}

resource "google_compute_url_map" "redirect" {
  for_each = local.balanced

  name = "streamly-redirect"

  default_url_redirect {
    https_redirect         = true
    redirect_response_code = "PERMANENT_REDIRECT"
    strip_query            = false
  }

  depends_on = [google_project_service.service]
}

# Issued once the domain's A record is the address below.
resource "google_compute_managed_ssl_certificate" "domain" {
  for_each = local.balanced

  name = "streamly-${substr(sha256(each.key), 0, 8)}"

  managed {
    domains = [each.key]
  }

  lifecycle {
    create_before_destroy = true
  }

  depends_on = [google_project_service.service]
}

resource "google_compute_ssl_policy" "modern" {
  for_each = local.balanced

  name            = "streamly"
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"

  depends_on = [google_project_service.service]
}

resource "google_compute_target_https_proxy" "https" {
  for_each = local.balanced

  name             = "streamly"
  url_map          = google_compute_url_map.https[each.key].id
  ssl_certificates = [google_compute_managed_ssl_certificate.domain[each.key].id]
  ssl_policy       = google_compute_ssl_policy.modern[each.key].id
}

resource "google_compute_target_http_proxy" "redirect" {
  for_each = local.balanced

  name    = "streamly-redirect"
  url_map = google_compute_url_map.redirect[each.key].id
}

resource "google_compute_global_address" "public" {
  for_each = local.balanced

  name = "streamly"

  depends_on = [google_project_service.service]
}

resource "google_compute_global_forwarding_rule" "https" {
  for_each = local.balanced

  name                  = "streamly"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.public[each.key].id
  port_range            = "443"
  target                = google_compute_target_https_proxy.https[each.key].id
}

resource "google_compute_global_forwarding_rule" "redirect" {
  for_each = local.balanced

  name                  = "streamly-redirect"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.public[each.key].id
  port_range            = "80"
  target                = google_compute_target_http_proxy.redirect[each.key].id
}
