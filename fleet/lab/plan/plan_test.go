package plan_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/barrage-im/barrage/fleet/lab/plan"
)

func TestAPlanRefusesWhatCannotBeAddressed(t *testing.T) {
	for _, c := range []struct {
		regions []string
		nodes   int
	}{
		{nil, 1},
		{[]string{"eu", "us", "eu"}, 1},
		{[]string{"wan"}, 1},
		{[]string{"EU"}, 1},
		{[]string{"eu-west"}, 1},
		{[]string{"toolongname"}, 1},
		{[]string{"eu"}, 0},
		{[]string{"eu"}, plan.MaxNodes + 1},
	} {
		if lab, err := plan.New(c.regions, c.nodes); err == nil {
			t.Errorf("New(%q, %d) = %v, want an error", c.regions, c.nodes, lab)
		}
	}
}

func TestEveryAddressLeadsBackToItsRegion(t *testing.T) {
	lab, err := plan.New([]string{"eu", "us", "ap"}, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, region := range lab.Regions {
		addrs := []string{region.IP()}
		for _, n := range region.All() {
			addrs = append(addrs, n.IP(), netip.MustParsePrefix(n.Pods()).Addr().Next().String())
		}
		for _, a := range addrs {
			if got, ok := lab.At(netip.MustParseAddr(a)); !ok || got != region {
				t.Errorf("At(%s) = %v, %v; want %s", a, got, ok, region.Name)
			}
		}
	}
	for _, a := range []string{plan.WorldIP, "10.200.4.1", "10.104.1.1", "8.8.8.8", "::1"} {
		if got, ok := lab.At(netip.MustParseAddr(a)); ok {
			t.Errorf("At(%s) = %v, want none", a, got)
		}
	}
}

func TestNodesAreFoundByNameAndNumber(t *testing.T) {
	lab, err := plan.New([]string{"eu"}, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"2", "eu-2"} {
		if n, err := lab.Regions[0].Node(name); err != nil || n.Name() != "eu-2" {
			t.Errorf("Node(%q) = %v, %v", name, n, err)
		}
	}
	if _, err := lab.Regions[0].Node("us-1"); !errors.Is(err, plan.ErrUnknown) {
		t.Errorf("a node of another region: %v", err)
	}
	if _, err := lab.Region("us"); !errors.Is(err, plan.ErrUnknown) {
		t.Errorf("an unknown region: %v", err)
	}
}
