# What is refused before anything is made.

run "more_connections_than_the_database_has" {
  command = plan
  variables {
    sizes = { get-playback = { max = 40 } }
  }
  expect_failures = [google_sql_database_instance.main]
}

run "more_connections_than_the_service_may_open" {
  command = plan
  variables {
    runtime = "service"
    service = { max = 60 }
  }
  expect_failures = [google_sql_database_instance.main]
}

run "an_image_by_tag" {
  command = plan
  variables {
    image = "europe-west1-docker.pkg.dev/demo/streamly/api:latest"
  }
  expect_failures = [var.image]
}

run "an_archive_not_named_by_content" {
  command = plan
  variables {
    archive = "functions.zip"
  }
  expect_failures = [var.archive]
}

run "an_empty_secret" {
  command = plan
  variables {
    secret_values = { STRIPE_SECRET_KEY = " " }
  }
  expect_failures = [var.secret_values]
}

run "a_secret_among_the_settings" {
  command = plan
  variables {
    settings = { STRIPE_SECRET_KEY = "sk_test_plain" }
  }
  expect_failures = [var.settings]
}

run "sizes_of_no_function" {
  command = plan
  variables {
    sizes = { get-playbak = { max = 2 } }
  }
  expect_failures = [var.sizes]
}

run "a_read_pool_without_the_edition" {
  command = plan
  variables {
    database = { tier = "db-custom-1-3840", high_availability = false, max_connections = 200, read_pool_nodes = 1 }
  }
  expect_failures = [var.database]
}
