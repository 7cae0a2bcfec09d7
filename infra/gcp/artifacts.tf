# What the functions are built from and into.
resource "google_artifact_registry_repository" "images" {
  #checkov:skip=CKV_GCP_84:Images hold code and no secret; a key of our own would be one more thing that can stop a deployment
  repository_id = "streamly"
  location      = var.region
  format        = "DOCKER"
  description   = "Images of the functions and of the one that holds them all"

  cleanup_policy_dry_run = false
  cleanup_policies {
    id     = "keep-recent"
    action = "KEEP"
    most_recent_versions {
      keep_count = 20
    }
  }
  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      older_than = "7776000s"
    }
  }

  depends_on = [google_project_service.service]
}

resource "google_storage_bucket" "source" {
  #checkov:skip=CKV_GCP_62:Holds archives of our own source and nothing about people; two accounts read it
  #checkov:skip=CKV_GCP_63:As above: no access log, so none to itself
  name                        = "${var.project}-source"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  # A name is a hash of the content, so nothing is ever written twice. Old archives are for going back.
  versioning {
    enabled = true
  }
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = 90
    }
  }

  depends_on = [google_project_service.service]
}

# Cloud Functions builds as this account, which can read archives, write images and write logs.
resource "google_service_account" "function_build" {
  account_id   = "function-build"
  display_name = "Builds the functions' images"

  depends_on = [google_project_service.service]
}

resource "google_storage_bucket_iam_member" "function_build" {
  bucket = google_storage_bucket.source.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.function_build.member
}

resource "google_artifact_registry_repository_iam_member" "function_build" {
  repository = google_artifact_registry_repository.images.name
  location   = var.region
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.function_build.member
}

resource "google_project_iam_member" "function_build" {
  project = var.project
  role    = "roles/logging.logWriter"
  member  = google_service_account.function_build.member
}

# Cloud Functions copies an archive into a bucket of its own before it is built.
resource "google_project_iam_member" "function_build_copies" {
  project = var.project
  role    = "roles/storage.objectViewer"
  member  = google_service_account.function_build.member

  condition {
    title      = "copies of the archives only"
    expression = "resource.name.startsWith('projects/_/buckets/gcf-v2-sources-${data.google_project.this.number}-${var.region}')"
  }
}
