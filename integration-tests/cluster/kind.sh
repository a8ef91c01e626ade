#!/bin/bash
# A kind cluster for one run, with addresses for Services of type LoadBalancer.
#
#   kind.sh up|down      $CLUSTER names it, $KUBECONFIG is written
set -euo pipefail
. "$(dirname "$0")/settings.sh"
name=signalbox-$CLUSTER
node=$name-control-plane
engine=docker
docker info >/dev/null 2>&1 || { engine=podman; export KIND_EXPERIMENTAL_PROVIDER=podman; }

# The addresses are a part of the network that kind's nodes are on. The node answers for all of them, so that they can
# be reached from this machine, and kube-proxy sends them on.
balance() {
  local address prefix
  address=$($engine inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' "$node" | awk '{print $1}')
  prefix=${address%.*.*}.200
  $engine exec "$node" ip route add local "$prefix.0/24" dev lo
  setsid load-balancer --kubeconfig "$KUBECONFIG" --first "$prefix.1" --last "$prefix.254" \
    >"$LOGS/load-balancer.log" 2>&1 </dev/null &
  echo $! >"$STATE/load-balancer.pid"
}

case ${1:-} in
  up)
    mkdir -p "$LOGS"
    kind create cluster --name "$name" --kubeconfig "$KUBECONFIG" --wait 180s >&2
    balance
    for archive in "$("$HERE/images.sh")"/*.tar; do kind load image-archive --name "$name" "$archive"; done
    ;;
  down)
    if pid=$(cat "$STATE/load-balancer.pid" 2>/dev/null); then kill "$pid" 2>/dev/null || true; fi
    kind delete cluster --name "$name" --kubeconfig "$KUBECONFIG" >&2
    rm -rf --one-file-system "$STATE"
    ;;
  *) die "kind.sh up|down" ;;
esac
