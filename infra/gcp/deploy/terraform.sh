#!/bin/sh
# terraform for one release: a folder with infra/gcp as it was, release.tfvars (archive, image) and mine.tfvars.
# usage: terraform.sh RELEASE plan|apply|again   (PROJECT and ENVIRONMENT in the environment)
# `plan` shows and keeps a plan, `apply` applies that one, `again` applies the release as it stands: the way back.
set -eu
release=$(cd "$1" && pwd)
: "${PROJECT:?}" "${ENVIRONMENT:?}"
export TF_IN_AUTOMATION=1 TF_INPUT=0
cd "$release/gcp"

# Stopped by INT, terraform finishes the call it is at and gives up its lock on the state.
bounded() {
  seconds=$1
  shift
  timeout -s INT -k 120 "$seconds" terraform "$@"
}

init() {
  bounded 300 init -backend-config="bucket=$PROJECT-terraform" -backend-config=prefix=streamly
}

case $2 in
  plan)
    init
    bounded 900 plan -lock-timeout=600s -out="$release/plan" -var-file="environments/$ENVIRONMENT.tfvars" \
      -var-file="$release/mine.tfvars" -var-file="$release/release.tfvars"
    ;;
  apply)
    bounded 2700 apply -lock-timeout=600s "$release/plan"
    terraform output -raw api_url >"$release/api_url"
    ;;
  again)
    init
    bounded 2700 apply -lock-timeout=600s -auto-approve -var-file="environments/$ENVIRONMENT.tfvars" \
      -var-file="$release/mine.tfvars" -var-file="$release/release.tfvars"
    ;;
  *)
    echo "plan, apply or again?" >&2
    exit 2
    ;;
esac
