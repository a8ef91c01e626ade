#!/bin/bash
# Makes the images that the inference suite runs, under the names of its manifests: its endpoint picker, its backend.
#
#   images.sh BIN      BIN: the directory of the binaries; prints the archives' paths
set -euo pipefail
. "$(dirname "$0")/../cluster/settings.sh"
suite=$(cd "$CONFORMANCE/inference" && go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api-inference-extension/conformance)
for program in lwepp echo-basic; do
  mapfile -t names < <(grep -rhoE 'image: *[^ ]+' "$suite/resources" "$suite/tests" | awk '{print $2}' | tr -d '"' | grep -- "$program" | sort -u | sed 's/^/--name=/')
  archive=$CACHE/$(all_key)/inference-$program.tar
  "$ROOT/deploy/images/image.py" "$archive" "${names[@]}" --user 0 --entrypoint "/$program" "$1/$program=/$program"
  echo "$archive"
done
