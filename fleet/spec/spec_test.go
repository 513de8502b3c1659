package spec

import (
	"os"
	"strings"
	"testing"
)

func good(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("testdata/fleet.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAFleetIsRead(t *testing.T) {
	f, err := Parse("fleet.yaml", []byte(good(t)))
	if err != nil {
		t.Fatal(err)
	}
	nodes := f.Nodes()
	if len(nodes) != 3 || nodes[1].Name != "core-us-1-0" || nodes[1].Address != "core-us-1-0.core.barrage.svc.us-1.example.com:7000" || !nodes[1].Votes {
		t.Errorf("%+v", nodes)
	}
	r, c := f.Cluster("ap-1")
	if r.Name != "ap" || c.Context != "ap-1" || c.Min != 2 || c.Max != 20 {
		t.Errorf("%+v %+v", r, c)
	}
	if f.Edge.Drain == 0 || f.Namespace != "barrage" || f.Git.Branch != "main" {
		t.Errorf("no defaults: %+v", f)
	}
}

// Each mistake has its line and says what to do.
func TestMistakesInAFleet(t *testing.T) {
	for name, c := range map[string]struct{ old, new, says string }{
		"unknown key":        {"signers:", "signer:", "fleet.yaml:8: git.signer: unknown key; did you mean signers?"},
		"two of one name":    {"- name: us", "- name: eu", `fleet.yaml:25: regions[1].name: there is a region "eu" already, on line 21`},
		"no cluster":         {"    clusters:\n      - {name: us-1, domain: us-1.example.com, voters: 1}\n", "", "regions[1]: region us has 0 clusters"},
		"one cluster twice":  {"{name: us-1, domain", "{name: eu-1, domain", `region eu has a cluster "eu-1" already`},
		"a quorum":           {"[us], soak: 30m, gate: {errors: 0.5, latency: 500ms, canary: true}}\n  - {regions: [ap]", "[us, ap]", "us, ap hold 2 of 3 votes"},
		"an unknown region":  {"regions: [ap]", "regions: [app]", `fleet.yaml:36: waves[2].regions[0]: there is no region "app"; did you mean ap?`},
		"a region twice":     {"regions: [ap]", "regions: [us]", "region us is in wave 2 already"},
		"in no wave":         {"  - {regions: [ap]}\n", "", "region ap is in no wave"},
		"a tag only":         {"sha256:0f5a", "0f5a", "fleet.yaml:5: version.digest"},
		"a tag in the image": {"com/barrage", "com/barrage:1", "fleet.yaml:3: version.image"},
		"an even number":     {"us-1.example.com, voters: 1", "us-1.example.com, voters: 2", "4 core nodes vote"},
		"no nodes":           {"us-1.example.com, voters: 1", "us-1.example.com", "use 1 to 9 core nodes"},
		"no key":             {"algorithm: EdDSA", "algorithm: HS256", "want a public key's"},
		"a private key":      {"BEGIN PUBLIC KEY", "BEGIN PRIVATE KEY", "want a public key, PEM"},
		"no key at all":      {"MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=", "replace this", "want a public key, PEM"},
		"a password":         {"https://git", "https://a:b@git", "a password stands in it"},
		"ssh without a key":  {"https://git", "ssh://git@git", "ssh needs git.secret"},
		"a bootstrap":        {"core-eu-1-0", "core-eu-1-3", `there is no voting node "core-eu-1-3"`},
		"a home":             {"home: eu", "home: mars", `there is no region "mars"`},
		"a domain":           {"domain: us-1.example.com", "domain: '*'", "regions[1].clusters[0].domain"},
		"a soak":             {"soak: 30m", "soak: 30", "fleet.yaml:35: waves[1].soak"},
		"limits":             {"min: 3, max: 60", "min: 3, max: 2", "min 3, max 2"},
	} {
		text := strings.Replace(good(t), c.old, c.new, 1)
		if text == good(t) {
			t.Fatalf("%s: %q is not there", name, c.old)
		}
		_, err := Parse("fleet.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s:\n%v\nwant %s", name, err, c.says)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good(f)))
	f.Add([]byte("regions: [{clusters: [{}]}]\nwaves: [{}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		fleet, err := Parse("f", text)
		if (fleet == nil) == (err == nil) {
			t.Fatal("neither or both of fleet and error")
		}
		if err == nil && len(fleet.Nodes()) == 0 {
			t.Fatal("a fleet without core nodes")
		}
	})
}
