//go:build tools

// Package tools pins what build.sh builds.
package tools

import _ "go.etcd.io/etcd/server/v3"
