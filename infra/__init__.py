"""What runs Streamly: one machine (`local`), the cloud (`gcp`), the operator (`cli`)."""
