#!/bin/sh
# Ends a deployment. Where it passed (RELEASE/passed is there), nothing is left to do. Else the last good release
# (GOOD, a folder; missing or empty when there was none) is applied again, and the build fails either way.
# usage: rollback.sh RELEASE GOOD   (PROJECT and ENVIRONMENT in the environment)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
release=$1
good=$2

if [ -f "$release/passed" ]; then
  echo "deployed, and found well"
  exit 0
fi
if [ ! -f "$good/release.tfvars" ]; then
  echo "the deployment failed, and there is no earlier release to go back to" >&2
  exit 1
fi
echo "the deployment failed: going back to" >&2
cat "$good/release.tfvars" >&2
if ! sh "$here/terraform.sh" "$good" again; then
  echo "going back failed too: see docs/deployment.md" >&2
  exit 1
fi
echo "the last good release is applied again" >&2
exit 1
