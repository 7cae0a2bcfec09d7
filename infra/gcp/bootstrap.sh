#!/usr/bin/env bash
# What terraform needs before it can run at all: its own APIs, and a bucket for its state.
# Safe to run again. usage: infra/gcp/bootstrap.sh PROJECT REGION
set -euo pipefail
project=${1:?usage: bootstrap.sh PROJECT REGION}
region=${2:?usage: bootstrap.sh PROJECT REGION}
bucket="gs://$project-terraform"

gcloud services enable --project="$project" \
  cloudbilling.googleapis.com cloudbuild.googleapis.com cloudresourcemanager.googleapis.com \
  serviceusage.googleapis.com storage.googleapis.com

if ! gcloud storage buckets describe "$bucket" --project="$project" >/dev/null 2>&1; then
  gcloud storage buckets create "$bucket" --project="$project" --location="$region" \
    --uniform-bucket-level-access --public-access-prevention
fi
# What `make deploy` uploads for the build.
if ! gcloud storage buckets describe "gs://$project-build" --project="$project" >/dev/null 2>&1; then
  gcloud storage buckets create "gs://$project-build" --project="$project" --location="$region" \
    --uniform-bucket-level-access --public-access-prevention
fi
# An older state is the way back from a bad apply.
gcloud storage buckets update "$bucket" --project="$project" --versioning

echo "terraform -chdir=infra/gcp init -backend-config=bucket=$project-terraform -backend-config=prefix=streamly"
