# Cloud Armor in front of the load balancer: a coarse guard of capacity. Who may do what is decided behind it.
locals {
  # Webhooks come from few addresses and in bursts (renewal day); their signatures are checked, which is cheap.
  webhooks = [for name in local.public : name if endswith(name, "-webhook")]
  # Each call hashes a password or tries a token.
  credentials = [
    for name in local.public : name if contains(["login", "register", "refresh", "reset-password", "verify-email"], name)
  ]
}

resource "google_compute_security_policy" "edge" {
  #checkov:skip=CKV_GCP_73:Nothing behind it runs on a JVM, and the rule would read webhooks' bodies
  for_each = local.balanced

  name = "streamly"

  rule {
    priority    = 1000
    action      = "allow"
    description = "Webhooks, whatever their rate"
    match {
      expr {
        expression = "request.path.matches('^/(${join("|", local.webhooks)})(/|$)')"
      }
    }
  }

  rule {
    priority    = 2000
    action      = "throttle"
    description = "Calls that try a password or a token"
    match {
      expr {
        expression = "request.path.matches('^/(${join("|", local.credentials)})(/|$)')"
      }
    }
    rate_limit_options {
      conform_action = "allow"
      exceed_action  = "deny(429)"
      enforce_on_key = "IP"
      rate_limit_threshold {
        count        = var.rates.credentials
        interval_sec = 60
      }
    }
  }

  # The last rule: every address.
  rule {
    priority    = 2147483647
    action      = "throttle"
    description = "Everything else"
    match {
      versioned_expr = "SRC_IPS_V1"
      config {
        src_ip_ranges = ["*"]
      }
    }
    rate_limit_options {
      conform_action = "allow"
      exceed_action  = "deny(429)"
      enforce_on_key = "IP"
      rate_limit_threshold {
        count        = var.rates.all
        interval_sec = 60
      }
    }
  }

  adaptive_protection_config {
    layer_7_ddos_defense_config {
      enable = true
    }
  }

  depends_on = [google_project_service.service]
}
