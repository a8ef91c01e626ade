#!/bin/bash
# The first process of a cluster's process-id namespace: makes the namespaces fit, starts everything, and stays.
#
#   init.sh api|node STATE
#
# It has network, mount, ipc and process-id namespaces of its own, so that the end of this process is the end of
# everything: daemons, Pods, interfaces, packet filter tables and mounts. What is not in a namespace is kept from the
# machine otherwise: kernel settings are covered by files, cgroups are below one directory that down.sh removes.
set -euo pipefail
MODE=$1
. "$(dirname "$0")/../settings.sh"
STATE=$2 LOGS=$2/logs
. "$HERE/node/process.sh"
trap 'exit 0' TERM
trap 'fail "init.sh line $LINENO: $BASH_COMMAND"' ERR
PKI=$STATE/pki
KUBECONFIG=$STATE/kubeconfig
BIN=$CACHE/$(<"$STATE/key")/bin IMAGES=$CACHE/$(<"$STATE/key")/images
export PATH="$BIN:$PATH"
export -n KUBECONFIG

ip link set lo up
. "$HERE/node/pki.sh"
progress "certificates"
if [ "$MODE" = node ]; then . "$HERE/node/isolate.sh"; . "$HERE/node/network.sh"; fi
. "$HERE/node/control-plane.sh"
if [ "$MODE" = node ]; then . "$HERE/node/runtime.sh"; fi
control_plane_ready
if [ "$MODE" = node ]; then . "$HERE/node/agents.sh"; fi
progress "ready"
touch "$STATE/ready"

trap - ERR
# Any daemon's end is the cluster's: a test then fails at once, and why is in the log.
ended=
wait -n -p ended "${!DAEMONS[@]}" || true
fail "${DAEMONS[$ended]} ended"$'\n'"$(tail -n 20 "$LOGS/${DAEMONS[$ended]}.log")"
