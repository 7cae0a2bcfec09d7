variable "alert_emails" {
  description = "Who is told when an alert opens and when the budget is used up."
  type        = set(string)
}

variable "app_url" {
  description = "APP_URL: the client application, where Stripe sends people back to and mailed links lead."
  type        = string

  validation {
    condition     = startswith(var.app_url, "https://")
    error_message = "app_url should start with https://."
  }
}

variable "archive" {
  description = "Object in the source bucket that holds main.py, lib/ and functions/. Its name is its content's SHA-256: functions redeploy when the name changes, and only then."
  type        = string

  validation {
    condition     = can(regex("^functions-[0-9a-f]{64}\\.zip$", var.archive))
    error_message = "archive should be functions-<64 hexadecimal digits>.zip."
  }
}

variable "budget" {
  description = "Monthly budget in the billing account's currency; null for none."
  type        = object({ billing_account = string, amount = number })
  default     = null
}

variable "cloudflare" {
  description = "The ids that go with the secrets CLOUDFLARE_API_TOKEN and CLOUDFLARE_SIGNING_JWK. They are public. null: no Cloudflare Stream."
  type        = object({ account_id = string, customer_code = string, signing_key_id = string })
  default     = null
}

variable "cors_origins" {
  description = "CORS_ORIGINS beside the client application's own: origins whose browsers may call."
  type        = list(string)
  default     = []
}

variable "database" {
  description = <<-EOT
    Cloud SQL. `max_connections` bounds what the functions may open (see connections in database.tf);
    `reserved_connections` are for the migration, the operators and Google's own. `read_pool_nodes` above 0
    adds a read pool, which needs edition ENTERPRISE_PLUS on both.
  EOT
  type = object({
    version              = optional(string, "POSTGRES_18")
    edition              = optional(string, "ENTERPRISE")
    tier                 = string
    high_availability    = bool
    disk_gb              = optional(number, 20)
    disk_limit_gb        = optional(number, 200)
    max_connections      = number
    reserved_connections = optional(number, 20)
    backups              = optional(number, 14)
    backup_location      = optional(string)
    log_days             = optional(number, 7)
    deletion_protection  = optional(bool, true)
    read_pool_nodes      = optional(number, 0)
    read_pool_tier       = optional(string)
  })

  validation {
    condition     = contains(["ENTERPRISE", "ENTERPRISE_PLUS"], var.database.edition)
    error_message = "database.edition should be ENTERPRISE or ENTERPRISE_PLUS."
  }
  validation {
    condition     = var.database.read_pool_nodes == 0 || var.database.edition == "ENTERPRISE_PLUS"
    error_message = "A read pool needs database.edition ENTERPRISE_PLUS."
  }
}

variable "domain" {
  description = "Host name of the API. With one there is a load balancer with certificate and Cloud Armor; null for none."
  type        = string
  default     = null
}

variable "environment" {
  description = "A project holds one environment."
  type        = string

  validation {
    condition     = contains(["dev", "prod"], var.environment)
    error_message = "environment should be dev or prod."
  }
}

variable "functions" {
  description = <<-EOT
    Every function, by the name in its URL (functions.auto.tfvars.json; tests/unit/test_function_map.py
    compares it with functions/). `caller` is public, tasks or scheduler; `direct` is a function that calls it, too. `secrets` and `settings` are what its
    main.py does not start without; a `pool` above 0 adds the database's. `providers` adds what it needs of each
    video provider that is set up; a function with a `provider` is there with that one only. Sizes are those of a
    small installation; `sizes` raises them. More connections than threads would never be used.
  EOT
  type = map(object({
    caller      = optional(string, "public")
    direct      = optional(string)
    provider    = optional(string)
    providers   = optional(map(object({ secrets = set(string), settings = set(string) })), {})
    secrets     = set(string)
    settings    = set(string)
    pool        = optional(number, 0)
    memory      = optional(string, "512Mi")
    cpu         = optional(string, "1")
    concurrency = optional(number, 8)
    threads     = optional(number, 8)
    min         = optional(number, 0)
    max         = number
    timeout     = optional(number, 30)
  }))

  validation {
    condition     = alltrue([for f in values(var.functions) : contains(["public", "tasks", "scheduler"], f.caller)])
    error_message = "caller should be public, tasks or scheduler."
  }
  validation {
    condition     = alltrue([for f in values(var.functions) : f.pool <= f.threads && f.concurrency <= f.threads])
    error_message = "pool and concurrency should not exceed threads."
  }
  validation {
    condition     = alltrue([for f in values(var.functions) : f.min <= f.max && f.max >= 1 && f.max <= 1000])
    error_message = "min should not exceed max, and max should be 1 to 1000."
  }
  validation {
    condition     = alltrue([for name in keys(var.functions) : can(regex("^[a-z][a-z0-9-]{2,26}$", name))])
    error_message = "A function's name should be 3 to 27 of a-z, 0-9 and -: it is also in its service account's."
  }
}

variable "image" {
  description = "The Dockerfile's image by digest. It runs the migrations, and with runtime = \"service\" everything."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image should end in @sha256:<64 hexadecimal digits>: a tag can be moved."
  }
}

variable "mail_from" {
  description = "MAIL_FROM: whom mails come from, like Streamly <streamly@example.com>. The secret SMTP_URL says by which server."
  type        = string
}

variable "mux" {
  description = "The ids that go with the secrets MUX_TOKEN_SECRET and MUX_SIGNING_PRIVATE_KEY. They are public. null: no Mux."
  type        = object({ token_id = string, signing_key_id = string })
  default     = null

  validation {
    condition     = var.mux != null || var.cloudflare != null
    error_message = "At least one video provider should be set up: mux or cloudflare."
  }
}

variable "network" {
  description = "Address ranges of the VPC: one for instances (each takes an address), one for Google's side of Cloud SQL."
  type        = object({ subnet = optional(string, "10.8.0.0/22"), peering_prefix = optional(number, 20) })
  default     = {}
}

variable "plans" {
  description = "PLANS: the only prices that can be bought."
  type = list(object({
    code              = string
    name              = string
    level             = number
    stripe_lookup_key = string
    trial_days        = number
    streams           = number
    price             = object({ amount = number, currency = string, interval = string })
  }))
}

variable "project" {
  description = "The project's id."
  type        = string
}

variable "python_runtime" {
  description = "What Cloud Functions runs the archive with."
  type        = string
  default     = "python313"
}

variable "queue" {
  description = "How fast tasks reach process-task. Each asks Stripe, which takes 100 reads a second in live mode."
  type        = object({ per_second = optional(number, 20), concurrent = optional(number, 20) })
  default     = {}
}

variable "rates" {
  description = "With a domain: requests a minute that one address may make, and of those to login, register and the like."
  type        = object({ all = optional(number, 600), credentials = optional(number, 30) })
  default     = {}
}

variable "region" {
  description = "Where everything runs."
  type        = string
}

variable "repository" {
  description = "Cloud Build's resource name of the connected repository; null for no triggers."
  type        = string
  default     = null
}

variable "runbook_url" {
  description = "Where docs/runbook is read, without a slash at the end. Every alert links a page below it."
  type        = string
  default     = "docs/runbook"
}

variable "runtime" {
  description = "functions: one Cloud Function per function. service: all of them in one Cloud Run service (README.md says when)."
  type        = string
  default     = "functions"

  validation {
    condition     = contains(["functions", "service"], var.runtime)
    error_message = "runtime should be functions or service."
  }
}

variable "secret_values" {
  description = "Values of secrets, only when one is new or changes. Never kept: neither in the plan nor in the state."
  type        = map(string)
  default     = {}
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = alltrue([for value in values(var.secret_values) : length(trimspace(value)) > 0])
    error_message = "A secret's value should not be empty."
  }
}

variable "secret_versions" {
  description = "Secret to a number that is raised to store a new value (given in secret_values). Without one, 1."
  type        = map(number)
  default     = {}
}

variable "service" {
  description = "Sizes of the one service with runtime = \"service\"."
  type = object({
    memory      = optional(string, "1Gi")
    cpu         = optional(string, "2")
    concurrency = optional(number, 16)
    threads     = optional(number, 16)
    min         = optional(number, 1)
    max         = optional(number, 10)
    pool        = optional(number, 4)
    timeout     = optional(number, 300)
  })
  default = {}
}

variable "settings" {
  description = "Optional settings of docs/settings.md, the same for every function."
  type        = map(string)
  default     = {}

  validation {
    condition = length(setsubtract(keys(var.settings), [
      "ACCESS_TOKEN_SECONDS", "CHECKOUT_AUTOMATIC_TAX", "CHECKOUT_PROMOTION_CODES", "CHECKOUT_TERMS",
      "CLOUDFLARE_ACCESS_RULES", "HASHING_SLOTS", "MAX_BODY_BYTES", "MUX_DRM_CONFIGURATION_ID",
      "MUX_RESTRICTION_CAST", "MUX_RESTRICTION_NATIVE", "MUX_RESTRICTION_WEB", "PASSWORD_MIN_LENGTH", "PAST_DUE_GRACE_DAYS",
      "PLAYBACK_MAX_SECONDS", "REFRESH_GRACE_SECONDS", "REFRESH_TOKEN_DAYS", "REGISTRATION",
      "RENEWAL_GRACE_HOURS", "RENTAL_START_DAYS", "SESSION_IDLE_DAYS", "STREAM_LEASE_SECONDS",
      "STRIPE_PORTAL_CONFIGURATION", "VIDEO_PROVIDER",
    ])) == 0
    error_message = "settings takes what is optional only: everything else has a variable or a secret of its own."
  }
}

variable "sizes" {
  description = "Function to the sizes that differ in this environment."
  type        = map(object({ pool = optional(number), memory = optional(string), min = optional(number), max = optional(number) }))
  default     = {}

  validation {
    condition     = length(setsubtract(keys(var.sizes), keys(var.functions))) == 0
    error_message = "sizes should name functions of the map only."
  }
}

variable "slo" {
  description = "Of 28 days' get-playback calls: the share answered without a fault, and the share answered within `latency_ms`."
  type = object({
    availability = optional(number, 0.999)
    latency      = optional(number, 0.99)
    latency_ms   = optional(number, 500)
  })
  default = {}
}

variable "token_audience" {
  description = "TOKEN_AUDIENCE of the access tokens."
  type        = string
  default     = "streamly"
}
