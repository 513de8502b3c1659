// Package plan says which regions and nodes a lab has and where each of them
// is: names, addresses, namespaces. Pure.
//
// Region I (counted from 1) has a router at 10.200.I.254, nodes at 10.200.I.N,
// pods of node N in 10.(100+I).N.0/24 and services in 10.(150+I).0.0/16. Pods
// reach pods of every region by address; services stay in their region. What
// is outside of every region (registry, Git server, people) is at 10.200.0.1.
package plan

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
)

// Limits of the address plan: 49 regions fit between 10.101 and 10.149.
const (
	MaxRegions = 49
	MaxNodes   = 100
)

// Addresses outside of every region, in the namespace World.
const (
	World    = "barrage-wan"
	WorldIP  = "10.200.0.1"
	Registry = WorldIP + ":5000"
	Git      = WorldIP + ":3000"
)

// APIPort is where each region's API server listens, on its router's address.
const APIPort = 6443

// DNSNodePort is where a region's DNS server is reached from other regions.
const DNSNodePort = 30053

// A Lab is a list of regions, as kept in the state directory.
type Lab struct {
	Regions []Region `json:"regions"`
}

// A Region is one cluster with its nodes. Index counts from 1.
type Region struct {
	Name  string `json:"name"`
	Index int    `json:"index"`
	Nodes int    `json:"nodes"`
}

// A Node is one machine of a region. Number counts from 1.
type Node struct {
	Region Region
	Number int
}

// Names become interface names (15 bytes) and parts of host names.
var name = regexp.MustCompile(`^[a-z][a-z0-9]{0,7}$`)

// New makes the plan of a lab, or says why it cannot be.
func New(regions []string, nodes int) (Lab, error) {
	if len(regions) == 0 || len(regions) > MaxRegions {
		return Lab{}, fmt.Errorf("%d regions: want 1 to %d", len(regions), MaxRegions)
	}
	if nodes < 1 || nodes > MaxNodes {
		return Lab{}, fmt.Errorf("%d nodes a region: want 1 to %d", nodes, MaxNodes)
	}
	var lab Lab
	for i, r := range regions {
		if !name.MatchString(r) || r == "wan" {
			return Lab{}, fmt.Errorf("region %q: want a letter, then at most 7 letters or digits, all lower case; not \"wan\"", r)
		}
		if slices.Contains(regions[:i], r) {
			return Lab{}, fmt.Errorf("region %q is named twice", r)
		}
		lab.Regions = append(lab.Regions, Region{Name: r, Index: i + 1, Nodes: nodes})
	}
	return lab, nil
}

// ErrUnknown says that the lab has no such region or node.
var ErrUnknown = errors.New("not in this lab")

// Region finds a region by name.
func (l Lab) Region(name string) (Region, error) {
	for _, r := range l.Regions {
		if r.Name == name {
			return r, nil
		}
	}
	return Region{}, fmt.Errorf("region %q: %w", name, ErrUnknown)
}

// Equal says whether two plans are the same lab.
func (l Lab) Equal(other Lab) bool { return slices.Equal(l.Regions, other.Regions) }

// At says which region an address (a node's, a router's or a pod's) is in.
func (l Lab) At(addr netip.Addr) (Region, bool) {
	if !addr.Is4() {
		return Region{}, false
	}
	b := addr.As4()
	index := 0
	switch {
	case b[0] == 10 && b[1] == 200:
		index = int(b[2])
	case b[0] == 10 && b[1] > 100:
		index = int(b[1]) - 100
	}
	if index < 1 || index > len(l.Regions) {
		return Region{}, false
	}
	return l.Regions[index-1], true
}

// Namespace is the network namespace of the region's router, where its control
// plane runs too.
func (r Region) Namespace() string { return "barrage-" + r.Name }

// IP is the router's address, which is also the API server's.
func (r Region) IP() string { return fmt.Sprintf("10.200.%d.254", r.Index) }

// Network holds the router and the nodes.
func (r Region) Network() string { return fmt.Sprintf("10.200.%d.0/24", r.Index) }

// Pods holds the pods of all nodes.
func (r Region) Pods() string { return fmt.Sprintf("10.%d.0.0/16", 100+r.Index) }

// Services holds the cluster addresses.
func (r Region) Services() string { return fmt.Sprintf("10.%d.0.0/16", 150+r.Index) }

// KubernetesIP is the cluster address of the API server, DNSIP that of DNS.
func (r Region) KubernetesIP() string { return fmt.Sprintf("10.%d.0.1", 150+r.Index) }

// DNSIP is the cluster address of the region's DNS server.
func (r Region) DNSIP() string { return fmt.Sprintf("10.%d.0.10", 150+r.Index) }

// Server is the API server's URL.
func (r Region) Server() string { return fmt.Sprintf("https://%s:%d", r.IP(), APIPort) }

// Domain is the region's DNS zone as other regions see it: what is
// NAME.NAMESPACE.svc.cluster.local at home is NAME.NAMESPACE.svc.DOMAIN
// everywhere.
func (r Region) Domain() string { return r.Name + ".lab" }

// All lists the region's nodes.
func (r Region) All() []Node {
	nodes := make([]Node, r.Nodes)
	for i := range nodes {
		nodes[i] = Node{Region: r, Number: i + 1}
	}
	return nodes
}

// Node finds a node by its full name (eu-1) or its number alone.
func (r Region) Node(name string) (Node, error) {
	for _, n := range r.All() {
		if name == n.Name() || name == fmt.Sprint(n.Number) {
			return n, nil
		}
	}
	return Node{}, fmt.Errorf("node %q of region %s: %w", name, r.Name, ErrUnknown)
}

// Name is the node's host name.
func (n Node) Name() string { return fmt.Sprintf("%s-%d", n.Region.Name, n.Number) }

// Namespace is the node's network namespace.
func (n Node) Namespace() string { return "barrage-" + n.Name() }

// IP is the node's address.
func (n Node) IP() string { return fmt.Sprintf("10.200.%d.%d", n.Region.Index, n.Number) }

// Pods holds the node's pods.
func (n Node) Pods() string { return fmt.Sprintf("10.%d.%d.0/24", 100+n.Region.Index, n.Number) }

// Cgroup is the folder of everything on the node, in every hierarchy.
func (n Node) Cgroup() string { return "/barrage-lab-" + n.Name() }
