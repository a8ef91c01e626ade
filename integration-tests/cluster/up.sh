#!/bin/bash
# Starts the node launcher's cluster, which stays until down.sh.
#
#   up.sh [node|api]   node: a node that runs Pods (the default); api: API server and controllers only
set -euo pipefail
. "$(dirname "$0")/settings.sh"
. "$HERE/start.sh"
start_cluster "${1:-node}" stay
cat <<E
The cluster has a network namespace of its own. Run something in it:
  integration-tests/cluster/in.sh COMMAND
or by hand:
  export KUBECONFIG=$STATE/kubeconfig PATH=$CACHE/$(<"$STATE/key")/bin:\$PATH
  nsenter --net=$(network_namespace) COMMAND
End it: integration-tests/cluster/down.sh
E
