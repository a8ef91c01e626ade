// Package conformance runs the Gateway API conformance suite, which reads its own flags; run.sh gives them.
package conformance

import (
	"testing"

	"sigs.k8s.io/gateway-api/conformance"
)

func TestConformance(t *testing.T) { conformance.RunConformance(t) }
