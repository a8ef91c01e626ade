# Sourced by init.sh while the API server starts: containerd and the images.
# shellcheck shell=bash
CONTAINERD=$STATE/containerd
SOCKET=$STATE/containerd.sock
mkdir -p "$CONTAINERD/cni"
cat >"$CONTAINERD/cni/10-bridge.conflist" <<C
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
 {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true, "promiscMode": false,
  "ipam": {"type": "host-local", "dataDir": "$CONTAINERD/cni-ipam", "ranges": [[{"subnet": "$POD_CIDR"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
 {"type": "portmap", "capabilities": {"portMappings": true}}]}
C
cat >"$CONTAINERD/config.toml" <<C
version = 3
root = "$CONTAINERD/root"
state = "$CONTAINERD/run"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs", "io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "$SOCKET"
[ttrpc]
  address = "$SOCKET.ttrpc"
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "localhost/pause:1"
[plugins.'io.containerd.cri.v1.runtime']
  # Lowering oom_score_adj needs CAP_SYS_RESOURCE, which build machines may not have.
  restrict_oom_score_adj = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["$BIN/cni"]
    conf_dir = "$CONTAINERD/cni"
  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = "runc"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
        BinaryName = "$BIN/runc"
        SystemdCgroup = false
C
start containerd containerd -c "$CONTAINERD/config.toml" -a "$SOCKET"
wait_for containerd 30 ctr -a "$SOCKET" version
progress "containerd"
for image in "$IMAGES"/*.tar; do
  ctr -a "$SOCKET" -n k8s.io images import "$image" >>"$LOGS/images.log" 2>&1
done
progress "images"
