# Sourced by init.sh: etcd, kube-apiserver, kube-controller-manager.
# shellcheck shell=bash
etcd=http://127.0.0.1:$ETCD_PORT etcd_peer=http://127.0.0.1:$ETCD_PEER_PORT
start etcd etcd --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level warn \
  --listen-client-urls "$etcd" --advertise-client-urls "$etcd" \
  --listen-peer-urls "$etcd_peer" --initial-advertise-peer-urls "$etcd_peer" --initial-cluster "default=$etcd_peer"

# The Service `kubernetes` may not have a loopback address: without a node it has none.
if [ "$MODE" = node ]; then reconciler=lease; else reconciler=none; fi
start kube-apiserver kube-apiserver --etcd-servers "$etcd" \
  --bind-address "$API_ADDRESS" --advertise-address "$NODE_IP" --secure-port "$API_PORT" --endpoint-reconciler-type "$reconciler" \
  --tls-cert-file "$PKI/apiserver.crt" --tls-private-key-file "$PKI/apiserver.key" --client-ca-file "$PKI/ca.crt" \
  --kubelet-client-certificate "$PKI/apiserver-to-kubelet.crt" --kubelet-client-key "$PKI/apiserver-to-kubelet.key" \
  --kubelet-preferred-address-types InternalIP \
  --service-account-key-file "$PKI/service-accounts.pub" --service-account-signing-key-file "$PKI/service-accounts.key" \
  --service-account-issuer https://kubernetes.default.svc \
  --service-cluster-ip-range "$SERVICE_CIDR" --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
  --allow-privileged=true --event-ttl 10m --profiling=false

kubectl() { command kubectl --kubeconfig "$KUBECONFIG" "$@"; }

control_plane_ready() {
  wait_for kube-apiserver 90 kubectl get --raw /readyz
  progress "kube-apiserver"
  start kube-controller-manager kube-controller-manager --kubeconfig "$PKI/controller-manager.kubeconfig" \
    --leader-elect=false --bind-address 127.0.0.1 --use-service-account-credentials=false --kube-api-qps 200 --kube-api-burst 400 \
    --root-ca-file "$PKI/ca.crt" --service-account-private-key-file "$PKI/service-accounts.key" \
    --cluster-signing-cert-file "$PKI/ca.crt" --cluster-signing-key-file "$PKI/ca.key"
  start load-balancer load-balancer --kubeconfig "$PKI/balancer.kubeconfig" --first "$BALANCER_FIRST" --last "$BALANCER_LAST"
  wait_for kube-controller-manager 60 kubectl -n default get serviceaccount default
  progress "kube-controller-manager"
}
