# Terraform 1.11 is the first with write-only arguments, which keep secrets out of plan and state.
terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.7"
    }
  }

  # Bucket and prefix come from `terraform init -backend-config=…`: see README.md.
  backend "gcs" {}
}

provider "google" {
  project = var.project
  region  = var.region

  # The budget's API asks which project pays for the call.
  user_project_override = true
  billing_project       = var.project

  default_labels = {
    app         = "streamly"
    environment = var.environment
  }
}
