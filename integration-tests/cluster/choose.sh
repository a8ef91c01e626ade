#!/bin/bash
# Decides which cluster the tests run on. Prints one word, and why on stderr:
#
#   given   $KUBECONFIG is set: that cluster
#   kind    a container engine answers: a kind cluster, made for the run
#   node    Linux, root and Go: the node launcher
#   none    none of these: the cluster tests are skipped
#
# SIGNALBOX_CLUSTER=kind|node|none in the environment decides instead.
set -euo pipefail
. "$(dirname "$0")/settings.sh"

answer() { say "$2"; echo "$1"; exit 0; }

case ${SIGNALBOX_CLUSTER:-} in
  given) [ -n "${KUBECONFIG:-}" ] || die "SIGNALBOX_CLUSTER=given, but KUBECONFIG is not set" ;;
  kind | node | none) answer "$SIGNALBOX_CLUSTER" "$SIGNALBOX_CLUSTER, as SIGNALBOX_CLUSTER says" ;;
  '') ;;
  *) die "SIGNALBOX_CLUSTER is $SIGNALBOX_CLUSTER: it may be given, kind, node or none" ;;
esac
[ -z "${KUBECONFIG:-}" ] || answer given "the cluster of KUBECONFIG=$KUBECONFIG"
command -v go >/dev/null || answer none "SKIPPED: cluster tests need Go 1.26 (or KUBECONFIG), and Go is missing"
for engine in docker podman; do
  if timeout 10 "$engine" info >/dev/null 2>&1; then answer kind "kind on $engine"; fi
done
[ "$(uname -s)" = Linux ] || answer none "SKIPPED: cluster tests need a container engine, KUBECONFIG or Linux"
[ "$(id -u)" = 0 ] || answer none "SKIPPED: cluster tests need a container engine, KUBECONFIG or root"
answer node "the node launcher: no KUBECONFIG, and no container engine answers"
