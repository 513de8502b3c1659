// Package network builds the lab's network out of namespaces, one router per
// region and one machine per node, and takes parts of it away again. The
// machine's own network is not touched.
//
//	   registry, Git server, people: 10.200.0.1
//	             barrage-wan
//	       eu │      us │      ap │           a cable per region
//	    router ═══ router ═══ router          between them: package wan
//	   │      │
//	node     node
package network

import (
	"errors"
	"fmt"
	"strings"

	"github.com/barrage-im/barrage/fleet/lab/netns"
	"github.com/barrage-im/barrage/fleet/lab/plan"
)

// prefix of the names of all our namespaces.
const prefix = "barrage-"

// uplink is the router's side of its cable to the world.
const uplink = "up0"

// routing lets a namespace pass on what is not for itself, by whatever way.
var routing = map[string]string{
	"net.ipv4.ip_forward":                  "1",
	"net.ipv4.conf.all.rp_filter":          "0",
	"net.ipv4.conf.default.rp_filter":      "0",
	"net.ipv4.conf.all.send_redirects":     "0",
	"net.ipv4.conf.default.send_redirects": "0",
}

// Up builds what is missing of the world and the routers.
func Up(lab plan.Lab) error {
	if err := world(); err != nil {
		return err
	}
	for _, region := range lab.Regions {
		if err := router(region); err != nil {
			return fmt.Errorf("network of region %s: %w", region.Name, err)
		}
	}
	return nil
}

func world() error {
	if netns.Exists(plan.World) {
		return nil
	}
	if err := netns.Add(plan.World); err != nil {
		return err
	}
	if err := netns.Sysctl(plan.World, routing); err != nil {
		return err
	}
	return netns.IP(plan.World,
		"link set lo up",
		"address add "+plan.WorldIP+"/32 dev lo",
	)
}

func router(region plan.Region) error {
	ns := region.Namespace()
	if netns.Exists(ns) {
		return nil
	}
	if err := netns.Add(ns); err != nil {
		return err
	}
	if err := netns.Sysctl(ns, routing); err != nil {
		return err
	}
	if err := netns.IP(plan.World,
		fmt.Sprintf("link add %s type veth peer name %s netns %s", region.Name, uplink, ns),
		fmt.Sprintf("link set %s up", region.Name),
		fmt.Sprintf("route add %s dev %s src %s", region.IP(), region.Name, plan.WorldIP),
		fmt.Sprintf("route add %s via %s src %s", region.Network(), region.IP(), plan.WorldIP),
		fmt.Sprintf("route add %s via %s src %s", region.Pods(), region.IP(), plan.WorldIP),
	); err != nil {
		return err
	}
	return netns.IP(ns,
		"link set lo up",
		"link add br0 type bridge",
		"link set br0 up",
		fmt.Sprintf("address add %s/24 dev br0", region.IP()),
		fmt.Sprintf("link set %s up", uplink),
		fmt.Sprintf("route add %s dev %s src %s", plan.WorldIP, uplink, region.IP()),
		fmt.Sprintf("route add default via %s src %s", plan.WorldIP, region.IP()),
	)
}

// Plug makes a node's namespace and its cable to the router.
func Plug(node plan.Node) error {
	ns, region := node.Namespace(), node.Region
	if netns.Exists(ns) {
		return nil
	}
	if err := netns.Add(ns); err != nil {
		return err
	}
	if err := netns.Sysctl(ns, routing); err != nil {
		return err
	}
	if err := netns.IP(region.Namespace(),
		fmt.Sprintf("link add %s type veth peer name eth0 netns %s", port(node), ns),
		fmt.Sprintf("link set %s master br0 up", port(node)),
		fmt.Sprintf("route replace %s via %s", node.Pods(), node.IP()),
	); err != nil {
		return err
	}
	return netns.IP(ns,
		"link set lo up",
		fmt.Sprintf("address add %s/24 dev eth0", node.IP()),
		"link set eth0 up",
		fmt.Sprintf("route add default via %s", region.IP()),
	)
}

// Silence takes a node's cable away: from now on not even a reset gets out.
func Silence(node plan.Node) error {
	if !netns.Exists(node.Namespace()) || !netns.Exists(node.Region.Namespace()) {
		return nil
	}
	return netns.IP(node.Region.Namespace(), "link set "+port(node)+" down")
}

// Unplug removes what Plug made.
func Unplug(node plan.Node) error {
	if !netns.Exists(node.Namespace()) {
		return netns.Delete(node.Namespace())
	}
	// The namespace outlives its name while a process is in it, and so would
	// the cable.
	err := netns.IP(node.Namespace(), "link delete eth0")
	return errors.Join(err, netns.Delete(node.Namespace()))
}

// Uplink joins a region to the world, or parts them.
func Uplink(region plan.Region, up bool) error {
	if !up {
		return netns.IP(region.Namespace(), "link set "+uplink+" down")
	}
	return netns.IP(region.Namespace(),
		"link set "+uplink+" up",
		fmt.Sprintf("route replace %s dev %s src %s", plan.WorldIP, uplink, region.IP()),
		fmt.Sprintf("route replace default via %s src %s", plan.WorldIP, region.IP()),
	)
}

// Down removes every namespace of a lab, known or not.
func Down() error {
	names, err := netns.List(prefix)
	for _, name := range names {
		err = errors.Join(err, netns.Delete(name))
	}
	return err
}

// Left lists what of a lab's network is there.
func Left() ([]string, error) { return netns.List(prefix) }

// port is the router's side of a node's cable.
func port(node plan.Node) string { return "n" + strings.ReplaceAll(node.IP(), "10.200.", "") }
