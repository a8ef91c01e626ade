//go:build tools

// Package tools pins what build.sh builds.
package tools

import _ "sigs.k8s.io/kind"
