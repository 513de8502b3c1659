package rollout

import (
	"strings"
	"testing"
	"time"
)

var (
	start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	plan  = Plan{ID: "r1", Timeout: 5 * time.Minute, Waves: []Wave{
		{Clusters: []string{"eu-1"}, Soak: 10 * time.Minute}, {Clusters: []string{"us-1", "us-2"}}, {Clusters: []string{"ap-1"}},
	}}
)

func wave(i int, at time.Duration) Moved {
	commit := string(rune('a' + i))
	return Moved{Wave: i, Commit: commit, At: start.Add(at), Revisions: []string{"main@sha1:" + commit, "main@sha1:later"}}
}

// at is a cluster whose parts are all ready at a revision.
func at(revision string) Observation {
	p := Part{Applied: revision, Attempted: revision, Generation: 3, Observed: 3, Ready: true}
	core, edge := p, p
	core.Name, edge.Name = "barrage-core", "barrage-edge"
	return Observation{Known: true, Parts: []Part{core, edge}, Gate: Gate{Known: true}}
}

func all(o Observation) map[string]Observation {
	return map[string]Observation{"eu-1": o, "us-1": o, "us-2": o, "ap-1": o}
}

// with is a fleet at the old revision but for one cluster.
func with(cluster string, o Observation) map[string]Observation {
	seen := all(at("main@sha1:old"))
	seen[cluster] = o
	return seen
}

func change(o Observation, f func(o *Observation)) Observation {
	o.Parts = append([]Part(nil), o.Parts...)
	f(&o)
	return o
}

func TestDecide(t *testing.T) {
	good := at("main@sha1:a")
	for name, c := range map[string]struct {
		moved []Moved
		seen  map[string]Observation
		well  time.Duration // since, after the start; negative: not
		now   time.Duration
		want  Kind
		wave  int
		says  string
	}{
		"nothing has been moved":                  {nil, all(at("main@sha1:old")), -1, 0, Move, 0, "eu-1"},
		"the canary is not seen":                  {nil, with("eu-1", Observation{Why: "no route"}), -1, 0, Wait, 0, "unknown: no route"},
		"the canary is suspended":                 {nil, with("eu-1", change(good, func(o *Observation) { o.Parts[1].Suspended = true })), -1, 0, Wait, 0, "flux resume"},
		"not applied yet":                         {[]Moved{wave(0, 0)}, all(at("main@sha1:old")), -1, time.Minute, Wait, 0, "has applied main@sha1:old, not a"},
		"ready, but of an older revision":         {[]Moved{wave(0, 0)}, all(at("main@sha1:old")), -1, 20 * time.Second, Wait, 0, "not a"},
		"half of it":                              {[]Moved{wave(0, 0)}, with("eu-1", change(good, func(o *Observation) { o.Parts[1].Applied = "main@sha1:old" })), -1, time.Minute, Wait, 0, "barrage-edge has applied"},
		"the status is old":                       {[]Moved{wave(0, 0)}, with("eu-1", change(good, func(o *Observation) { o.Parts[0].Observed = 2 })), -1, time.Minute, Wait, 0, "older generation"},
		"no measurement":                          {[]Moved{wave(0, 0)}, with("eu-1", change(good, func(o *Observation) { o.Gate.Known = false })), -1, time.Minute, Wait, 0, "no measurement"},
		"well, not soaked":                        {[]Moved{wave(0, 0)}, with("eu-1", good), -1, time.Minute, Wait, 0, "10m0s of its soak"},
		"almost":                                  {[]Moved{wave(0, 0)}, with("eu-1", good), time.Minute, 10*time.Minute + 59*time.Second, Wait, 0, "1s of its soak"},
		"soaked":                                  {[]Moved{wave(0, 0)}, with("eu-1", good), time.Minute, 11 * time.Minute, Move, 1, "us-1, us-2"},
		"well before its move counts for nothing": {[]Moved{wave(0, 10*time.Minute)}, with("eu-1", good), time.Minute, 11 * time.Minute, Wait, 0, "10m0s"},
		"a later commit that left it alone":       {[]Moved{wave(0, 0)}, with("eu-1", at("main@sha1:later")), 0, 11 * time.Minute, Move, 1, ""},
		"the next is not seen":                    {[]Moved{wave(0, 0)}, func() map[string]Observation { s := with("eu-1", good); delete(s, "us-2"); return s }(), 0, 11 * time.Minute, Wait, 1, "us-2 is unknown"},
		"a health check failed": {[]Moved{wave(0, 0)}, with("eu-1", change(good, func(o *Observation) {
			p := &o.Parts[1]
			p.Ready, p.Failed, p.Applied, p.Message = false, true, "main@sha1:old", "timeout"
		})), -1, time.Minute, Revert, 0, "barrage-edge failed at main@sha1:a: timeout"},
		"a failure of the version before":      {[]Moved{wave(0, 0)}, with("eu-1", change(at("main@sha1:old"), func(o *Observation) { o.Parts[1].Ready, o.Parts[1].Failed = false, true })), -1, time.Minute, Wait, 0, ""},
		"a failure seen in an old status":      {[]Moved{wave(0, 0)}, with("eu-1", change(good, func(o *Observation) { p := &o.Parts[1]; p.Ready, p.Failed, p.Observed = false, true, 2 })), -1, time.Minute, Wait, 0, ""},
		"it takes too long":                    {[]Moved{wave(0, 0)}, all(at("main@sha1:old")), -1, 5*time.Minute + time.Second, Revert, 0, "not ready 5m1s after its move"},
		"unreachable is neither":               {[]Moved{wave(0, 0)}, with("eu-1", Observation{Why: "cut"}), -1, time.Hour, Wait, 0, "eu-1 is unknown: cut"},
		"the service is not well":              {[]Moved{wave(0, 0)}, with("eu-1", change(good, func(o *Observation) { o.Gate.Broken = []string{"12 % of publishes are refused, 0.5 % at most"} })), time.Minute, 2 * time.Minute, Revert, 0, "12 %"},
		"the service before the move was not":  {[]Moved{wave(0, 0)}, with("eu-1", change(at("main@sha1:old"), func(o *Observation) { o.Gate.Broken = []string{"x"} })), -1, time.Minute, Wait, 0, ""},
		"the canary breaks in the second wave": {[]Moved{wave(0, 0), wave(1, 11*time.Minute)}, map[string]Observation{"eu-1": change(good, func(o *Observation) { o.Gate.Broken = []string{"leaks"} }), "us-1": at("main@sha1:b"), "us-2": at("main@sha1:b"), "ap-1": at("main@sha1:old")}, 0, 12 * time.Minute, Revert, 1, "eu-1: leaks"},
		"half of a wave":                       {[]Moved{wave(0, 0), wave(1, 11*time.Minute)}, map[string]Observation{"eu-1": good, "us-1": at("main@sha1:b"), "us-2": at("main@sha1:old"), "ap-1": at("main@sha1:old")}, 0, 12 * time.Minute, Wait, 1, "us-2"},
		"a wave without a soak":                {[]Moved{wave(0, 0), wave(1, 11*time.Minute)}, map[string]Observation{"eu-1": good, "us-1": at("main@sha1:b"), "us-2": at("main@sha1:b"), "ap-1": at("main@sha1:old")}, -1, 12 * time.Minute, Move, 2, "ap-1"},
		"the canary is cut in the second wave": {[]Moved{wave(0, 0), wave(1, 11*time.Minute)}, map[string]Observation{"us-1": at("main@sha1:b"), "us-2": at("main@sha1:b"), "ap-1": at("main@sha1:old")}, 0, 12 * time.Minute, Wait, 0, "eu-1 is unknown"},
		"everything has it":                    {[]Moved{wave(0, 0), wave(1, 11*time.Minute), wave(2, 12*time.Minute)}, map[string]Observation{"eu-1": good, "us-1": at("main@sha1:b"), "us-2": at("main@sha1:b"), "ap-1": at("main@sha1:c")}, -1, 13 * time.Minute, Done, 2, ""},
		"suspended after its move":             {[]Moved{wave(0, 0)}, with("eu-1", change(good, func(o *Observation) { o.Parts[0].Suspended, o.Parts[0].Ready = true, false })), -1, time.Hour, Wait, 0, "suspended by hand"},
		"no part at all":                       {[]Moved{wave(0, 0)}, with("eu-1", Observation{Known: true, Gate: Gate{Known: true}}), -1, time.Minute, Wait, 0, "no part yet"},
	} {
		well := time.Time{}
		if c.well >= 0 {
			well = start.Add(c.well)
		}
		got := Decide(plan, c.moved, c.seen, well, start.Add(c.now))
		if got.Kind != c.want || got.Wave != c.wave || !strings.Contains(got.Reason, c.says) {
			t.Errorf("%s: %s wave %d: %s; want %s wave %d: …%s…", name, got.Kind, got.Wave, got.Reason, c.want, c.wave, c.says)
		}
		if (got.Kind == Revert) != (len(got.Evidence) > 0) {
			t.Errorf("%s: evidence %q", name, got.Evidence)
		}
	}
}

// Whatever is seen, the next wave is moved only when every cluster of the waves
// before is known, has applied exactly its revision and is ready.
func FuzzDecide(f *testing.F) {
	f.Add(uint64(0), uint8(0), uint16(0))
	f.Add(uint64(1<<40+12345), uint8(2), uint16(700))
	f.Fuzz(func(t *testing.T, bits uint64, n uint8, minutes uint16) {
		chance := func(of uint64) bool { b := bits%4 < of; bits = bits>>2 | bits<<62; return b }
		var moved []Moved
		for i := range int(n) % (len(plan.Waves) + 1) {
			moved = append(moved, wave(i, time.Duration(i)*time.Minute))
		}
		seen := map[string]Observation{}
		for i, w := range plan.Waves {
			for _, c := range w.Clusters {
				o := at("main@sha1:" + string(rune('a'+i)))
				if chance(2) {
					o = at("main@sha1:old")
				}
				o.Known, o.Gate.Known = chance(3), chance(3)
				o.Parts[0].Ready = chance(3)
				o.Parts[1].Failed = chance(1)
				o.Parts[1].Suspended = chance(1)
				seen[c] = o
			}
		}
		now := start.Add(time.Duration(minutes) * time.Minute)
		got := Decide(plan, moved, seen, start, now)
		if got.Kind != Move && got.Kind != Done {
			return
		}
		for _, m := range moved {
			for _, c := range plan.Waves[m.Wave].Clusters {
				o := seen[c]
				ok := o.Known && o.Gate.Known
				for _, p := range o.Parts {
					ok = ok && p.Ready && !p.Suspended && p.Applied == m.Revisions[0]
				}
				if !ok {
					t.Fatalf("%s although %s is %+v", got.Kind, c, o)
				}
			}
		}
	})
}
