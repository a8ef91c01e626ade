package main

import (
	"fmt"
	"net/netip"

	"k8s.io/apimachinery/pkg/types"
)

// pool decides which address a Service gets. An address has at most one owner.
type pool struct {
	first, last, next netip.Addr
	byOwner           map[types.UID]netip.Addr
	byAddress         map[netip.Addr]types.UID
}

func newPool(first, last netip.Addr) *pool {
	return &pool{first, last, first, map[types.UID]netip.Addr{}, map[netip.Addr]types.UID{}}
}

func (p *pool) contains(address netip.Addr) bool {
	return !address.Less(p.first) && !p.last.Less(address)
}

// keep records what a Service has already, unless another one owns it or it owns another one.
func (p *pool) keep(owner types.UID, address netip.Addr) {
	_, has := p.byOwner[owner]
	_, taken := p.byAddress[address]
	if !has && !taken && p.contains(address) {
		p.byOwner[owner], p.byAddress[address] = address, owner
	}
}

// releaseExcept frees the addresses of all but these.
func (p *pool) releaseExcept(present map[types.UID]bool) {
	for owner, address := range p.byOwner {
		if !present[owner] {
			delete(p.byOwner, owner)
			delete(p.byAddress, address)
		}
	}
}

// assign returns the owner's address; a new owner gets the one it asks for, or the next free one. Freed addresses
// come last, so that a client of a Service that is gone does not meet another one.
func (p *pool) assign(owner types.UID, asked string) (netip.Addr, error) {
	if address, has := p.byOwner[owner]; has && (asked == "" || asked == address.String()) {
		return address, nil
	}
	address, err := p.pick(owner, asked)
	if err != nil {
		return address, err
	}
	delete(p.byAddress, p.byOwner[owner])
	p.byOwner[owner], p.byAddress[address] = address, owner
	return address, nil
}

func (p *pool) pick(owner types.UID, asked string) (netip.Addr, error) {
	if asked != "" {
		address, err := netip.ParseAddr(asked)
		if err != nil || !p.contains(address) {
			return address, fmt.Errorf("%s is not in %v-%v", asked, p.first, p.last)
		}
		if other, taken := p.byAddress[address]; taken && other != owner {
			return address, fmt.Errorf("%s belongs to another Service", asked)
		}
		return address, nil
	}
	for start := p.next; ; {
		address := p.next
		if p.next = address.Next(); !p.contains(p.next) {
			p.next = p.first
		}
		if _, taken := p.byAddress[address]; !taken {
			return address, nil
		}
		if p.next == start {
			return address, fmt.Errorf("no address is free in %v-%v", p.first, p.last)
		}
	}
}
