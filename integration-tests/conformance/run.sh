#!/bin/bash
# Runs a conformance suite on a test cluster with Signalbox installed; writes reports/<suite>.yaml.
#
#   run.sh [gateway-api|inference] [FLAG OF THE SUITE…]     for example: run.sh gateway-api -run-test HTTPRouteWeight
#
#   PROFILES        of the Gateway API (default GATEWAY-HTTP), separated by commas
#   FEATURES        supported features; when absent, the suite reads them from the GatewayClass's status
#   GATEWAY_CLASS   default: signalbox
#   CHANNEL         standard or experimental
set -euo pipefail
. "$(dirname "$0")/../cluster/settings.sh"
suite=${1:-gateway-api}
[ $# -eq 0 ] || shift
: "${PROFILES:=GATEWAY-HTTP}" "${FEATURES:=}" "${GATEWAY_CLASS:=signalbox}"

if [ -z "${IN_CLUSTER:-}" ]; then
  modules=(conformance)
  if [ "$suite" = inference ]; then modules+=(inference); fi
  bin=$("$HERE/build.sh" "${modules[@]}")
  # Apart from mapfile, which takes no notice of a failure.
  archives=$("$ROOT/deploy/images/build.sh")
  mapfile -t archives <<<"$archives"
  if [ "$suite" = inference ]; then mapfile -t -O "${#archives[@]}" archives < <("$CONFORMANCE/images.sh" "$bin"); fi
  IN_CLUSTER=$bin exec "$HERE/in.sh" "$0" "$suite" "${archives[@]}" -- "$@"
fi

archives=()
while [ "$1" != -- ]; do archives+=("$1"); shift; done
shift
"$HERE/load.sh" "${archives[@]}"
"$HERE/install.sh" --set gatewayClass.parametersRef.name=small
kubectl apply -f "$HERE/manifests/small.yaml" >&2

# The suite of the inference extension wants all CRDs of its own release; only InferencePool is of it.
if [ "$suite" = inference ]; then
  kubectl delete --ignore-not-found crd/inferenceobjectives.inference.networking.x-k8s.io \
    crd/inferencemodelrewrites.inference.networking.x-k8s.io >&2
  trap '"$HERE/crds.sh" apply >/dev/null' EXIT
fi

report=$CONFORMANCE/reports/$suite.yaml
mkdir -p "$CONFORMANCE/reports"
version=$(sed -nE 's/^version = "(.*)"/\1/p' "$ROOT/Cargo.toml" | head -n 1)
flags=(-gateway-class "$GATEWAY_CLASS" -report-output "$report" -organization signalbox -project signalbox
  -url https://signalbox.dev -version "v$version" -contact signalbox.dev)
if [ "$suite" = gateway-api ]; then flags+=(-conformance-profiles "$PROFILES" -usable-address 10.250.254.1 -unusable-address 192.0.2.1); fi
if [ -n "$FEATURES" ]; then flags+=(-supported-features "$FEATURES"); fi
# A suite that fails writes its report too.
code=0
"$IN_CLUSTER/$suite.test" -test.v -test.timeout=60m "${flags[@]}" "$@" || code=$?
[ ! -f "$report" ] || say "report: $report"
exit "$code"
