//go:build tools

// Package tools pins what build.sh builds.
package tools

import _ "helm.sh/helm/v4/cmd/helm"
