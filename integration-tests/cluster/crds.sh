#!/bin/bash
# The CRDs of the Gateway API and of its inference extension, from the upstream modules as they are.
#
#   crds.sh          prints their directories; fetches the modules when they are not there
#   crds.sh apply    applies them to the cluster of $KUBECONFIG
#
# CHANNEL=experimental takes the Gateway API's experimental channel, for a cluster without the standard one.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
: "${CHANNEL:=standard}"
GATEWAY_API=sigs.k8s.io/gateway-api@v1.6.3
# v1.6.0 has InferencePool; InferenceObjective and InferenceModelRewrite were last published with v1.5.0.
INFERENCE=sigs.k8s.io/gateway-api-inference-extension@v1.6.0
OBJECTIVES=sigs.k8s.io/gateway-api-inference-extension@v1.5.0

# Prints the directory of a module. One that is in the cache needs no network.
module() {
  local cached
  cached=$(go env GOMODCACHE)/$1
  [ -d "$cached" ] || (cd / && go mod download "$1")
  echo "$cached"
}

gateway_api=$(module "$GATEWAY_API")/config/crd/$CHANNEL
inference=$(module "$INFERENCE")/config/crd
objectives=$(module "$OBJECTIVES")/config/crd
if [ "${1:-}" != apply ]; then
  printf '%s\n' "$gateway_api" "$inference" "$objectives"
  exit 0
fi
apply() { kubectl apply --server-side --force-conflicts "$@" >&2; }
apply -f "$gateway_api"
apply -f "$inference/bases"
for kind in inferenceobjectives inferencemodelrewrites; do apply -f "$objectives/bases/"*"_$kind.yaml"; done
kubectl wait --for=condition=Established crd --all --timeout=60s >/dev/null
