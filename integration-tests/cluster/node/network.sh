# Sourced by init.sh: the node's own network. Addresses of load balancers are on the bridge's subnet.
# shellcheck shell=bash
ip link add "$NODE_BRIDGE" type bridge
ip address add "$NODE_IP/$NODE_PREFIX" dev "$NODE_BRIDGE"
ip link set "$NODE_BRIDGE" up
sysctl -qw net.ipv4.ip_forward=1 # This namespace's.
# kube-proxy redirects what the node itself sends to a Service, but only what has a route at all.
ip route add "$SERVICE_CIDR" dev "$NODE_BRIDGE"
