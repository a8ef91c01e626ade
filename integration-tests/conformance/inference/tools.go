//go:build tools

package conformance

import _ "sigs.k8s.io/gateway-api-inference-extension/cmd/lwepp" // The endpoint picker that the suite's manifests run.
