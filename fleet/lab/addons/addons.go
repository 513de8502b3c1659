// Package addons renders what every region's cluster gets from the lab: its
// DNS server. Pure.
package addons

import (
	"bytes"
	_ "embed"
	"strconv"
	"text/template"

	"github.com/barrage-im/barrage/fleet/lab/plan"
)

//go:embed dns.yaml
var dns string

var dnsTemplate = template.Must(template.New("dns.yaml").Option("missingkey=error").Parse(dns))

// DNS gives the objects of a region's DNS server. It answers for the cluster's
// own names under cluster.local and under the region's domain, and asks the
// other regions' servers for names under theirs.
func DNS(lab plan.Lab, region plan.Region, image string) ([]byte, error) {
	type peer struct{ Domain, Servers string }
	view := struct {
		plan.Region
		Image    string
		NodePort int
		Peers    []peer
	}{Region: region, Image: image, NodePort: plan.DNSNodePort}
	for _, other := range lab.Regions {
		if other == region {
			continue
		}
		var servers bytes.Buffer
		for _, n := range other.All() {
			if servers.Len() < 200 { // a few are enough to fail over to
				servers.WriteString(" " + n.IP() + ":" + strconv.Itoa(plan.DNSNodePort))
			}
		}
		view.Peers = append(view.Peers, peer{other.Domain(), servers.String()})
	}
	var out bytes.Buffer
	err := dnsTemplate.Execute(&out, view)
	return out.Bytes(), err
}
