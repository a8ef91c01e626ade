//go:build tools

// Package tools pins what build.sh builds.
package tools

import _ "github.com/opencontainers/runc"
