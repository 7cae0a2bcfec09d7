# Who builds and deploys, and what they cannot do.

override_data {
  target = data.google_cloud_run_v2_service.machine["process-task"]
  values = { urls = ["https://process-task-123456789012.europe-west1.run.app"] }
}
override_data {
  target = data.google_cloud_run_v2_service.machine["reconcile"]
  values = { urls = ["https://reconcile-123456789012.europe-west1.run.app"] }
}

run "applied" {
  variables {
    repository = "projects/demo/locations/europe-west1/connections/github/repositories/streamly"
  }

  assert {
    condition     = google_project_iam_member.check.role == "roles/logging.logWriter"
    error_message = "what a pull request runs may write its log"
  }
  assert {
    condition = alltrue([
      google_cloudbuild_trigger.pull_request[0].service_account == google_service_account.build["check"].id,
      google_cloudbuild_trigger.pull_request[0].substitutions["_DEPLOY"] == "no",
    ])
    error_message = "a pull request is built by the account that can only log, and is not deployed"
  }
  assert {
    condition     = google_cloudbuild_trigger.pull_request[0].repository_event_config[0].pull_request[0].comment_control == "COMMENTS_ENABLED_FOR_EXTERNAL_CONTRIBUTORS_ONLY"
    error_message = "a stranger's pull request waits for a word from a maintainer"
  }
  assert {
    condition = alltrue([
      google_cloudbuild_trigger.main[0].service_account == google_service_account.build["deploy"].id,
      google_cloudbuild_trigger.main[0].substitutions["_ENVIRONMENT"] == var.environment,
      google_cloudbuild_trigger.main[0].repository_event_config[0].push[0].branch == "^main$",
    ])
    error_message = "what is on main, and no other branch, is deployed to the environment"
  }
  assert {
    condition     = !contains(google_project_iam_custom_role.deploy.permissions, "secretmanager.versions.access")
    error_message = "the build's role does not read a secret's value"
  }
  assert {
    condition = alltrue([
      for role in keys(google_project_iam_member.deploy) :
      !can(regex("^roles/(owner|editor|secretmanager\\.|cloudsql\\.|iam\\.|storage\\.)", role))
    ])
    error_message = "in the whole project the build has no role that reads secrets or rows, or acts as any account"
  }
  assert {
    condition = alltrue([
      for role in keys(google_project_iam_member.deploy) :
      !contains(["roles/run.admin", "roles/artifactregistry.admin", "roles/logging.configWriter", "roles/compute.admin"], role)
    ])
    error_message = "the build has no role that enters running instances, deletes images or sends logs elsewhere"
  }
  assert {
    condition = alltrue([
      for permission in google_project_iam_custom_role.deploy.permissions :
      !can(regex("access$|ssh|actAs|getAccessToken|getOpenIdToken|signBlob|signJwt|serviceAccountKeys|objects\\.|projects\\.setIamPolicy|buckets\\.setIamPolicy", permission))
    ])
    error_message = "the build's own role neither reads what others keep nor speaks as them"
  }
  assert {
    condition     = contains(google_project_iam_custom_role.deploy.permissions, "storage.buckets.getIamPolicy")
    error_message = "the build can look at who may use the buckets that bootstrap.sh made, which every plan does"
  }
  assert {
    condition     = google_artifact_registry_repository_iam_member.deploy.role == "roles/artifactregistry.writer"
    error_message = "the build pushes images to the one repository, and deletes none"
  }
  assert {
    condition     = google_project_default_service_accounts.unused.action == "DEPRIVILEGE"
    error_message = "the accounts that Google makes unasked may do nothing"
  }
  assert {
    condition     = endswith(google_project_iam_member.function_build_copies.condition[0].expression, ".startsWith('projects/_/buckets/gcf-v2-sources-123456789012-europe-west1')")
    error_message = "functions are built from their archives' copies, and the builder reads no other bucket"
  }
  assert {
    condition = alltrue([
      for permission in google_project_iam_custom_role.deploy.permissions :
      !can(regex("^cloudsql\\.(instances|databases)\\.delete$|^secretmanager\\.(secrets\\.delete|versions\\.destroy)$", permission))
    ])
    error_message = "the build deletes neither a database nor a secret"
  }
  assert {
    condition     = google_project_iam_member.deploy_grants.condition[0].expression == "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly([\"roles/cloudsql.client\",\"roles/cloudsql.instanceUser\",\"roles/logging.logWriter\",\"roles/storage.objectViewer\"])"
    error_message = "the build hands out the functions' roles and no others"
  }
  assert {
    condition = toset([for m in google_service_account_iam_member.deploy_acts_as : m.service_account_id]) == toset(concat(
      [for a in google_service_account.workload : a.name],
      [for a in google_service_account.caller : a.name],
      [google_service_account.migrate.name, google_service_account.function_build.name],
    ))
    error_message = "the build acts as the accounts that it deploys, and as no others"
  }
  assert {
    condition     = google_storage_bucket_iam_member.deploy_state.role == "roles/storage.objectUser"
    error_message = "the build writes terraform's state, and cannot open its bucket to others"
  }
}

run "without_a_repository" {
  command = plan

  assert {
    condition     = length(google_cloudbuild_trigger.main) + length(google_cloudbuild_trigger.pull_request) == 0
    error_message = "without a repository nothing is built by itself"
  }
}
