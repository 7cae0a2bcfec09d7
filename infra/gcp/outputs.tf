output "api_url" {
  description = "Every function is below it by its name. Also TOKEN_ISSUER."
  value       = local.api_url
}

output "webhook_urls" {
  description = "To be entered at Stripe and the video providers."
  value       = { for name, f in local.functions : name => "${local.api_url}/${name}" if endswith(name, "-webhook") }
}

output "address" {
  description = "With a domain: what its A record should be."
  value       = one(values(google_compute_global_address.public)[*].address)
}

output "source_bucket" {
  description = "Where the build puts the archive."
  value       = google_storage_bucket.source.name
}

output "image_repository" {
  description = "Where the build pushes the image."
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
}

output "connection_name" {
  description = "INSTANCE_CONNECTION_NAME of the database."
  value       = google_sql_database_instance.main.connection_name
}

output "connections" {
  description = "Most connections the running code can open, of how many."
  value       = { most = local.connections, of = var.database.max_connections }
}
