# What every test starts from: the sizes of dev, no domain, no budget.
project     = "demo"
region      = "europe-west1"
environment = "dev"
archive     = "functions-0000000000000000000000000000000000000000000000000000000000000000.zip"
image       = "europe-west1-docker.pkg.dev/demo/streamly/api@sha256:0000000000000000000000000000000000000000000000000000000000000000"
app_url     = "https://app.example.com"

# Set though it is the default: `terraform test` cannot apply an ephemeral variable that is not.
secret_values = {}

alert_emails = ["operator@example.com"]
database     = { tier = "db-custom-1-3840", high_availability = false, max_connections = 200 }
cloudflare   = { account_id = "account-id", customer_code = "code", signing_key_id = "key-id" }
mail_from    = "Streamly <streamly@example.com>"
mux          = { token_id = "token-id", signing_key_id = "key-id" }
plans = [{
  code              = "basic"
  name              = "Basic"
  level             = 1
  stripe_lookup_key = "basic_monthly"
  trial_days        = 0
  streams           = 2
  price             = { amount = 799, currency = "usd", interval = "month" }
}]
