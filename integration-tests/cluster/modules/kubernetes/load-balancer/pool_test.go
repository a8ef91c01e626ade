package main

import (
	"net/netip"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

func TestPool(t *testing.T) {
	p := newPool(netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.3"))
	expect := func(owner types.UID, asked, address string) {
		t.Helper()
		got, err := p.assign(owner, asked)
		if address == "" && err == nil || address != "" && (err != nil || got.String() != address) {
			t.Errorf("%s asked for %q: got %v, %v; expected %q", owner, asked, got, err, address)
		}
	}
	p.keep("a", netip.MustParseAddr("10.0.0.2"))
	p.keep("b", netip.MustParseAddr("10.0.0.2")) // taken
	p.keep("c", netip.MustParseAddr("10.0.9.9")) // not ours
	expect("a", "", "10.0.0.2")
	expect("b", "", "10.0.0.1")
	expect("c", "", "10.0.0.3")
	expect("d", "", "")
	expect("d", "10.0.0.1", "")
	expect("d", "10.0.9.9", "")
	p.releaseExcept(map[types.UID]bool{"a": true, "c": true})
	expect("d", "10.0.0.1", "10.0.0.1")
	expect("a", "", "10.0.0.2")
	p.releaseExcept(map[types.UID]bool{"a": true})
	expect("a", "10.0.0.3", "10.0.0.3") // a change of the wish moves it
	expect("e", "", "10.0.0.1")
	expect("f", "", "10.0.0.2")
	expect("g", "", "")
}
