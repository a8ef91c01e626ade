#!/bin/bash
# Runs a command in a test cluster's network: with KUBECONFIG set, kubectl and helm on PATH.
#
#   in.sh COMMAND [ARGUMENT…]
#
# The cluster is the one that choose.sh names. A cluster that `make cluster` started is used as it is; otherwise one is
# made for this command and ended with it, also when this script is killed. Exit code 77: there is no cluster to be had.
#
# The command sees SIGNALBOX_CLUSTER (given, kind or node), and for `node` SIGNALBOX_NETNS. The node launcher's network
# has no way out: what Go or Cargo have to fetch, they fetch before.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
. "$HERE/start.sh"
[ $# -gt 0 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | grep -v '^set'; exit 2; }

# What runs in the background of a script takes no notice of Ctrl-C: the command is ended with its cluster.
child=
end() { [ -z "$child" ] || kill "$child" 2>/dev/null || true; }

kind=$("$HERE/choose.sh")
export SIGNALBOX_CLUSTER=$kind
trap 'exit 130' INT
trap 'exit 143' TERM HUP

case $kind in
  none) exit 77 ;;
  given) exec "$@" ;;
  kind)
    bin=$("$HERE/build.sh" kind kubernetes helm conformance)
    export PATH="$bin:$PATH" CLUSTER=run-$$
    export KUBECONFIG=$CACHE/run/$CLUSTER/kubeconfig
    trap 'end; "$HERE/kind.sh" down' EXIT
    "$HERE/kind.sh" up
    ;;
  node)
    if ! is_up; then
      export CLUSTER=run-$$
      STATE=$CACHE/run/$CLUSTER LOGS=$STATE/logs
      trap 'end; "$HERE/down.sh"' EXIT
      start_cluster node leash
    fi
    export SIGNALBOX_NETNS KUBECONFIG=$STATE/kubeconfig PATH="$CACHE/$(<"$STATE/key")/bin:$PATH"
    SIGNALBOX_NETNS=$(network_namespace)
    export CLUSTER CARGO_NET_OFFLINE=true GOPROXY=off
    # Ends, too, when this script is killed.
    set -- setpriv --pdeathsig TERM nsenter --net="$SIGNALBOX_NETNS" "$@"
    ;;
esac
"$@" <&0 &
child=$!
code=0
wait "$child" || code=$?
exit "$code"
