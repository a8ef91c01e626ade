# Sourced by every script here: where things are, and which addresses a cluster has. Each may be set in the environment.
#
#   $CACHE/modules/<module>-<key>/   binaries of one Go module
#   $CACHE/<key>/bin                 all binaries, as links
#   $CACHE/<key>/images              images of the node itself
#   $CACHE/run/<cluster>/            what a running cluster writes
# shellcheck shell=bash disable=SC2034
: "${CLUSTER:=default}" # The cluster's name: clusters with different names run side by side.
: "${CACHE:=${XDG_CACHE_HOME:-$HOME/.cache}/signalbox/cluster}"
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
CONFORMANCE=$ROOT/integration-tests/conformance
STATE=$CACHE/run/$CLUSTER
LOGS=$STATE/logs
# A Go program is what it is built of: pinned modules, our sources, the compiler and how it is called.
MODULES=(pause kubernetes etcd containerd cni coredns runc helm conformance)
export PATH="$PATH:/usr/local/go/bin:/usr/sbin:/sbin"

# The addresses of the node launcher. Every cluster has a network namespace of its own, so they never collide.
NODE_NAME=node1
NODE_BRIDGE=k8s0 NODE_IP=10.250.0.1 NODE_PREFIX=16
BALANCER_FIRST=10.250.1.1 BALANCER_LAST=10.250.255.254
POD_CIDR=10.244.0.0/24
SERVICE_CIDR=10.96.0.0/16 SERVICE_API=10.96.0.1 SERVICE_DNS=10.96.0.10
API_PORT=16443 ETCD_PORT=12379 ETCD_PEER_PORT=12380

say() { printf 'cluster: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# Prints the directory of a Go module's sources.
module_dir() {
  case $1 in
    conformance) echo "$CONFORMANCE/gateway-api" ;;
    inference) echo "$CONFORMANCE/inference" ;;
    *) echo "$HERE/modules/$1" ;;
  esac
}

# Prints the key of a Go module.
module_key() {
  local dir
  dir=$(module_dir "$1")
  { go env GOVERSION; cat "$HERE/recipes.sh"; cd "$dir" && find . -name '*.go' -o -name 'go.*' | sort | xargs cat; } | sha256sum | cut -c1-12
}

# Prints the key of all binaries together.
all_key() { for module in "${MODULES[@]}"; do module_key "$module"; done | sha256sum | cut -c1-12; }

# Whether the process that holds the cluster runs. Its id may have gone to another one since.
is_up() {
  local state=${1:-$STATE} pid
  pid=$(cat "$state/pid" 2>/dev/null) && kill -0 "$pid" 2>/dev/null || return 1
  # Its command line is not its own in the first moment.
  [ -z "$(find "$state/pid" -newermt '-10 seconds')" ] || return 0
  tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "$state"
}
