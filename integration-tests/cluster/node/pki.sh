# Sourced by init.sh: certificates (EC P-256, by openssl) and kubeconfigs. Made once and kept in the cache.
# shellcheck shell=bash
if [ "$MODE" = node ]; then API_ADDRESS=$NODE_IP; else API_ADDRESS=127.0.0.1; fi
pki_cache=$CACHE/pki/$( (cat "$HERE/node/pki.sh"; echo "$NODE_NAME $NODE_IP $SERVICE_API $API_ADDRESS $API_PORT") | sha256sum | cut -c1-12)

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }

# certificate NAME SUBJECT EXTENSIONS
certificate() {
  key "$1"
  openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile <(printf '%s\n' "$3") -out "$1.crt"
}

# kubeconfig_of NAME: prints the kubeconfig of a certificate.
kubeconfig_of() {
  cat <<K
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://$API_ADDRESS:$API_PORT", certificate-authority-data: "$(base64 -w0 ca.crt)"}}]
users: [{name: u, user: {client-certificate-data: "$(base64 -w0 "$1.crt")", client-key-data: "$(base64 -w0 "$1.key")"}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
K
}

make_pki() {
  local client=extendedKeyUsage=clientAuth
  key ca
  openssl req -x509 -new -key ca.key -subj /CN=test-cluster -days 3650 -out ca.crt -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature
  certificate apiserver /CN=kube-apiserver "extendedKeyUsage=serverAuth
subjectAltName=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:$NODE_IP,IP:$SERVICE_API"
  certificate kubelet "/CN=$NODE_NAME" "extendedKeyUsage=serverAuth
subjectAltName=DNS:$NODE_NAME,IP:$NODE_IP"
  certificate apiserver-to-kubelet /O=system:masters/CN=apiserver-kubelet-client "$client"
  certificate admin /O=system:masters/CN=admin "$client"
  certificate controller-manager /O=system:masters/CN=system:kube-controller-manager "$client"
  certificate scheduler /O=system:masters/CN=system:kube-scheduler "$client"
  certificate proxy /O=system:masters/CN=system:kube-proxy "$client"
  certificate balancer /O=system:masters/CN=load-balancer "$client"
  certificate node "/O=system:nodes/CN=system:node:$NODE_NAME" "$client"
  openssl genrsa -out service-accounts.key 2048
  openssl rsa -in service-accounts.key -pubout -out service-accounts.pub
  local name
  for name in admin controller-manager scheduler proxy balancer node; do kubeconfig_of "$name" >"$name.kubeconfig"; done
}

if [ ! -d "$pki_cache" ]; then
  mkdir -p "$CACHE/pki"
  pki_work=$(mktemp -d "$CACHE/pki/.making.XXXXXX")
  (cd "$pki_work" && make_pki) 2>"$LOGS/pki.log"
  mv -T "$pki_work" "$pki_cache" 2>/dev/null || rm -rf "$pki_work" # Another run was faster.
fi
cp -a "$pki_cache" "$PKI"
cp "$PKI/admin.kubeconfig" "$KUBECONFIG"
