# Sourced by init.sh when the control plane is ready: scheduler, kubelet, kube-proxy, CoreDNS.
# shellcheck shell=bash
start kube-scheduler kube-scheduler --kubeconfig "$PKI/scheduler.kubeconfig" --leader-elect=false --bind-address 127.0.0.1 \
  --kube-api-qps 200 --kube-api-burst 400

# Pods' cgroups are below one directory, which every hierarchy has to have.
cgroup=/signalbox-$CLUSTER
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*; do
  case $(stat -f -c %T "$hierarchy" 2>/dev/null) in
    cgroup2fs)
      mkdir -p "$hierarchy$cgroup"
      for controller in $(<"$hierarchy/cgroup.controllers"); do
        { echo "+$controller" >"$hierarchy/cgroup.subtree_control"; echo "+$controller" >"$hierarchy$cgroup/cgroup.subtree_control"; } 2>/dev/null || true
      done
      break # What is below is no other hierarchy.
      ;;
    cgroupfs) mkdir -p "$hierarchy$cgroup" ;;
  esac
done

echo "nameserver 127.0.0.1" >"$STATE/resolv.conf"
mkdir -p "$STATE/kubelet" "$STATE/pod-logs"
cat >"$STATE/kubelet.yaml" <<C
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $NODE_IP
healthzBindAddress: 127.0.0.1
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/kubelet.crt
tlsPrivateKeyFile: $PKI/kubelet.key
containerRuntimeEndpoint: unix://$SOCKET
cgroupDriver: cgroupfs
cgroupRoot: $cgroup
failCgroupV1: false
failSwapOn: false
clusterDNS: [$SERVICE_DNS]
clusterDomain: cluster.local
resolvConf: $STATE/resolv.conf
evictionHard: {}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
imageMaximumGCAge: 0s
localStorageCapacityIsolation: false
podLogsDir: $STATE/pod-logs
volumePluginDir: $STATE/volume-plugins
staticPodPath: ""
serializeImagePulls: false
maxPods: 200
syncFrequency: 10s
nodeStatusUpdateFrequency: 5s
registerNode: true
kubeAPIQPS: 200
kubeAPIBurst: 400
shutdownGracePeriod: 0s
C
start kubelet kubelet --config "$STATE/kubelet.yaml" --kubeconfig "$PKI/node.kubeconfig" --root-dir "$STATE/kubelet" \
  --hostname-override "$NODE_NAME" --node-ip "$NODE_IP" --cert-dir "$STATE/kubelet/pki" -v 2

cat >"$STATE/proxy.yaml" <<C
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: $PKI/proxy.kubeconfig, qps: 200, burst: 400}
hostnameOverride: $NODE_NAME
clusterCIDR: $POD_CIDR
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
nodePortAddresses: ["primary"]
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
nftables: {minSyncPeriod: 100ms, syncPeriod: 30s}
C
start kube-proxy kube-proxy --config "$STATE/proxy.yaml"

sed "s/__DNS__/$SERVICE_DNS/" "$HERE/node/coredns.yaml" | kubectl apply -f - >/dev/null
wait_for kubelet 90 kubectl wait --for=condition=Ready "node/$NODE_NAME" --timeout=1s
progress "node"
kubectl -n kube-system rollout status deployment/coredns --timeout=90s >/dev/null
progress "CoreDNS"
