// Package conformance runs the conformance suite of the Gateway API inference extension; run.sh gives its flags.
package conformance

import (
	"testing"

	"sigs.k8s.io/gateway-api-inference-extension/conformance"
)

func TestConformance(t *testing.T) { conformance.RunConformance(t) }
