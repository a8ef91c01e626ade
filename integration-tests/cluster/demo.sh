#!/bin/bash
# The guide on a test cluster: installs Signalbox as a user would, applies the guide's objects with simulated model
# servers as Pods, sends the guide's requests, and leaves everything running until Ctrl-C.
#
#   --once   ends after the requests
set -euo pipefail
. "$(dirname "$0")/settings.sh"

if [ -z "${IN_CLUSTER:-}" ]; then
  # Apart from mapfile, which takes no notice of a failure.
  archives=$("$ROOT/deploy/images/build.sh")
  mapfile -t archives <<<"$archives"
  IN_CLUSTER=1 exec "$HERE/in.sh" "$0" "${archives[@]}" -- "$@"
fi
archives=()
while [ "$1" != -- ]; do archives+=("$1"); shift; done
shift

# The cluster ends with this script: what there is to see, it shows.
explain() {
  set +e
  say "the demo failed; what there is:"
  kubectl get pods,gateways,httproutes,inferencepools -A -o wide
  kubectl get events -A --sort-by=.lastTimestamp | tail -n 20
  kubectl -n signalbox-system logs -l app.kubernetes.io/component=control-plane --tail=20 --prefix
} >&2
trap explain ERR

step() { printf '%5.1f s  %s\n' "$(($(date +%s%N) / 100000000 - began))e-1" "$*"; }
began=$(($(date +%s%N) / 100000000))
EXAMPLE=$ROOT/deploy/standalone/multi-model
"$HERE/load.sh" "${archives[@]}"
step "images are loaded"
"$HERE/install.sh" 2>&1 | sed -n '/^NAME\|^STATUS/p'
step "Signalbox is installed (helm install signalbox deploy/helm/signalbox)"
for file in "$ROOT"/deploy/cluster/multi-model/*.yaml "$EXAMPLE"/{pools,objectives,routes-to-llms}.yaml; do
  kubectl apply -f "$file" >/dev/null
done
step "the guide's objects are applied"
kubectl wait --for=condition=Programmed --timeout=120s gateway/inference-gateway >/dev/null
IP=$(kubectl get gateway/inference-gateway -o jsonpath='{.status.addresses[0].value}') PORT=80
step "the Gateway is programmed, its address is $IP"
deadline=$((SECONDS + 120))
until curl -sf -m 5 -o /dev/null "$IP:$PORT/v1/completions" -H 'Content-Type: application/json' -d '{"model": "chatbot", "prompt": "hello", "max_tokens": 1}'; do
  [ $SECONDS -lt $deadline ] || { explain; die "no answer within 120 s"; }
  sleep 0.2
done
step "the first request is answered"

ask() { # model, prompt
  echo
  echo "\$ curl -i $IP:$PORT/v1/completions -H 'Content-Type: application/json' -d '{\"model\": \"$1\", \"prompt\": \"$2\", \"max_tokens\": 100, \"temperature\": 0}'"
  curl -sS -i "$IP:$PORT/v1/completions" -H 'Content-Type: application/json' \
    -d "{\"model\": \"$1\", \"prompt\": \"$2\", \"max_tokens\": 100, \"temperature\": 0}"
  echo
}
ask chatbot 'What is the color of the sky'
ask recommender 'Give me restaurant recommendations in Paris'
echo
kubectl get gateway/inference-gateway httproute/routes-to-llms
[ "${1:-}" != --once ] || exit 0
cat <<M

The cluster keeps running; Ctrl-C ends it. In another terminal:
  export KUBECONFIG=$KUBECONFIG PATH=$(dirname "$(command -v kubectl)"):\$PATH
  ${SIGNALBOX_NETNS:+nsenter --net=$SIGNALBOX_NETNS }kubectl get gateways,httproutes,inferencepools,pods -A
  ${SIGNALBOX_NETNS:+nsenter --net=$SIGNALBOX_NETNS }curl -i $IP:$PORT/v1/models
M
exec sleep infinity
