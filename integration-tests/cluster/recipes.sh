# Sourced by build.sh: how the binaries of each Go module are built. A change here builds them anew.
# shellcheck shell=bash

# One value for all: another one compiles all of Kubernetes again.
export CGO_ENABLED=0
KUBERNETES=$(sed -nE 's|.*k8s.io/kubernetes v([0-9.]+).*|\1|p' "$HERE/modules/kubernetes/go.mod")
version() { printf -- '-s -w -X k8s.io/component-base/version.gitVersion=v%s -X k8s.io/component-base/version.gitMajor=%s -X k8s.io/component-base/version.gitMinor=%s' "$1" "${1%%.*}" "$(cut -d. -f2 <<<"$1")"; }

# build OUT [BUILD ARGUMENT…] PACKAGE…, in the module's directory
build() { nice go build -trimpath -ldflags "-s -w" -o "$@"; }

build_module() { # MODULE OUT
  cd "$(module_dir "$1")"
  case $1 in
    pause) build "$2/" . ;;
    kubernetes)
      nice go build -trimpath -ldflags "$(version "$KUBERNETES")" -o "$2/" \
        k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-scheduler,kubelet,kube-proxy,kubectl}
      build "$2/" ./load-balancer
      ;;
    etcd) build "$2/etcd" go.etcd.io/etcd/server/v3 ;;
    containerd) build "$2/" github.com/containerd/containerd/v2/cmd/{containerd,containerd-shim-runc-v2,ctr} ;;
    cni)
      mkdir "$2/cni"
      build "$2/cni/" github.com/containernetworking/plugins/plugins/{main/bridge,main/loopback,ipam/host-local,meta/portmap}
      ;;
    coredns) build "$2/" github.com/coredns/coredns ;;
    # The kubelet asks for a seccomp profile for every Pod: that part of runc is C.
    runc) CGO_ENABLED=1 build "$2/" -tags seccomp github.com/opencontainers/runc ;;
    helm) build "$2/" helm.sh/helm/v4/cmd/helm ;;
    kind) build "$2/" sigs.k8s.io/kind ;;
    conformance)
      build "$2/" sigs.k8s.io/gateway-api/conformance/echo-basic
      nice go test -c -trimpath -ldflags "-s -w" -o "$2/gateway-api.test" .
      ;;
    inference)
      build "$2/" sigs.k8s.io/gateway-api-inference-extension/cmd/lwepp
      nice go test -c -trimpath -ldflags "-s -w" -o "$2/inference.test" .
      ;;
    *) die "unknown module $1" ;;
  esac
}
