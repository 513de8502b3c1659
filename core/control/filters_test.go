package control_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/core/control"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// putChunk cuts the chunk at offset out of a bundle.
func putChunk(bundle string, offset, chunk int) *rpc.ControlCommand {
	digest := sha256.Sum256([]byte(bundle))
	from := min(offset, len(bundle))
	return &rpc.ControlCommand{Actor: "ann", Op: &rpc.ControlCommand_PutChunk{PutChunk: &rpc.PutChunk{
		Digest: digest[:], Offset: uint32(offset), Size: uint32(len(bundle)), Data: []byte(bundle[from:min(from+chunk, len(bundle))]),
	}}}
}

// upload is all chunks of a bundle.
func upload(bundle string, chunk int) (commands []*rpc.ControlCommand) {
	for at := 0; at < len(bundle); at += chunk {
		commands = append(commands, putChunk(bundle, at, chunk))
	}
	return commands
}

func putFilter(name, bundle string, version uint64, mode string, regions ...string) *rpc.ControlCommand {
	digest := sha256.Sum256([]byte(bundle))
	return &rpc.ControlCommand{Actor: "ann", Op: &rpc.ControlCommand_PutFilter{PutFilter: &rpc.PutFilter{
		Name: name, Stage: &rpc.FilterStage{Version: version, Digest: digest[:], Size: uint32(len(bundle)), Mode: mode, Regions: regions},
	}}}
}

func removeFilter(name string) *rpc.ControlCommand {
	return &rpc.ControlCommand{Actor: "ann", Op: &rpc.ControlCommand_RemoveFilter{RemoveFilter: &rpc.RemoveFilter{Name: name}}}
}

// filterReplica is a cluster with nodes in eu and us, where chunks have 4 bytes.
func filterReplica(t *testing.T) *replica {
	r := newReplica()
	r.SetChunk(4)
	us := node("n2")
	us.Region = "us"
	r.must(t, 1000, initCluster(), putNode(node("n1")), putNode(us))
	return r
}

// chunks counts the chunks in the store, and proves that they are the right ones.
func (r *replica) chunks(t *testing.T) (n int) {
	t.Helper()
	if err := r.CheckStore(&r.store); err != nil {
		t.Fatal(err)
	}
	if err := r.store.Scan([]byte{'c'}, []byte{'d'}, false, func(_, _ []byte) bool { n++; return true }); err != nil {
		t.Fatal(err)
	}
	return n
}

// stages are a set's, as text.
func (r *replica) stages(name string) string {
	var out []string
	for _, f := range r.State().Filters {
		if f.Name == name {
			for _, s := range f.Stages {
				out = append(out, fmt.Sprintf("%d %s %s", s.Version, s.Mode, strings.Join(s.Regions, ",")))
			}
		}
	}
	return strings.Join(out, "; ")
}

func TestABundleComesInOrder(t *testing.T) {
	r := filterReplica(t)
	const bundle = "0123456789"
	wrongSize, noDigest, tooLarge, empty := putChunk(bundle, 4, 4), putChunk(bundle, 0, 4), putChunk(bundle, 0, 4), putChunk(bundle, 0, 4)
	wrongSize.GetPutChunk().Size = 12
	noDigest.GetPutChunk().Digest = []byte("short")
	tooLarge.GetPutChunk().Size = control.MaxBundle + 1
	empty.GetPutChunk().Size = 0
	for _, c := range []struct {
		command    *rpc.ControlCommand
		code, says string
	}{
		{noDigest, "bad_argument", "32 bytes"},
		{tooLarge, "too_large", "1 to 16777216"},
		{empty, "too_large", "1 to 16777216"},
		{putChunk(bundle, 0, 3), "bad_argument", "chunks have 4 bytes"},
		{putChunk(bundle, 2, 4), "bad_argument", "chunks have 4 bytes"},
		{putChunk(bundle, 12, 4), "bad_argument", "chunks have 4 bytes"},
		{putChunk(bundle, 4, 4), "bad_argument", "next chunk is at offset 0"},
		{putChunk(bundle, 0, 4), "ok", ""},
		{putChunk(bundle, 8, 4), "bad_argument", "next is at offset 4"},
		{wrongSize, "bad_argument", "10 bytes, not 12"},
		{putFilter("a", bundle, 1, "report"), "bad_argument", "only 4 of 10"},
		{putChunk(bundle, 0, 4), "ok", ""}, // again
		{putChunk(bundle, 4, 4), "ok", ""},
		{putChunk(bundle, 8, 4), "ok", ""},
		{putChunk(bundle, 8, 4), "ok", ""},
		{putFilter("a", bundle, 1, "report"), "ok", ""},
	} {
		e := r.must(t, 1000, c.command)
		if codes(e) != c.code || !strings.Contains(e.Results[0].Message, c.says) {
			t.Fatalf("%v: %v, want %s: …%s…", c.command, e.Results[0], c.code, c.says)
		}
	}
	if n := r.chunks(t); n != 3 {
		t.Errorf("%d chunks are stored, want 3", n)
	}
	digest := sha256.Sum256([]byte(bundle))
	var got []byte
	for at := range 3 {
		data, ok, err := control.ReadChunk(&r.store, digest[:], uint32(4*at))
		if err != nil || !ok {
			t.Fatalf("chunk %d: %t, %v", at, ok, err)
		}
		got = append(got, data...)
	}
	if string(got) != bundle {
		t.Errorf("read back %q", got)
	}
	if _, ok, err := control.ReadChunk(&r.store, digest[:], 12); ok || err != nil {
		t.Errorf("a chunk behind the end: %t, %v", ok, err)
	}
	if _, ok, err := control.ReadChunk(&r.store, nil, 0); ok || err != nil {
		t.Errorf("no digest: %t, %v", ok, err)
	}
}

func TestUploadsThatNobodyNamesLapse(t *testing.T) {
	r := filterReplica(t)
	r.must(t, 1000, upload("forgotten", 4)...)
	r.must(t, 2000, append(upload("named", 4), putFilter("a", "named", 1, "report"))...)
	r.must(t, 5000, putChunk("forgotten", 0, 4)) // somebody still tries
	if err := r.Load(&r.store); err != nil {
		t.Fatal(err)
	}
	if want := int64(5000 + control.UploadTTL + 1); r.Due() != want {
		t.Fatalf("due %d, want %d", r.Due(), want)
	}
	r.must(t, r.Due()-1, tick())
	if n := r.chunks(t); n != 5 {
		t.Fatalf("%d chunks before the end, want 5", n)
	}
	version := r.State().Version
	r.must(t, r.Due(), tick())
	if n := r.chunks(t); n != 2 || r.Due() != 0 || r.State().Version != version {
		t.Errorf("%d chunks, due %d, version %d; want those of the set, nothing due, and nobody told", n, r.Due(), r.State().Version)
	}
	if e := r.must(t, r.Time(), putFilter("b", "forgotten", 1, "report")); codes(e) != "not_found" {
		t.Errorf("a bundle that has lapsed: %v", e.Results[0])
	}
}

func TestStoredBundlesAreBounded(t *testing.T) {
	r := filterReplica(t)
	for i := range control.MaxUploads {
		r.must(t, 1000, putChunk(fmt.Sprintf("bundle %d", i), 0, 4))
	}
	if e := r.must(t, 1000, putChunk("one more", 0, 4)); codes(e) != "overloaded" || !strings.Contains(e.Results[0].Message, "10 minutes") {
		t.Errorf("one upload more: %v", e.Results[0])
	}
	if e := r.must(t, 1000, putChunk("bundle 0", 4, 4), putFilter("a", "bundle 0", 1, "report"), putChunk("one more", 0, 4)); codes(e) != "ok ok ok" {
		t.Errorf("when one is named: %s", codes(e))
	}

	r = newReplica()
	r.must(t, 1000, initCluster())
	r.must(t, 1000, append(upload("named", control.MaxChunk), putFilter("a", "named", 1, "report"))...)
	large := putChunk(strings.Repeat("x", control.MaxChunk), 0, control.MaxChunk)
	large.GetPutChunk().Size = control.MaxBundle
	for i := range control.MaxBundles/control.MaxBundle - 1 {
		large.GetPutChunk().Digest = bytes.Repeat([]byte{byte(i + 1)}, 32)
		if e := r.must(t, 1000, large); codes(e) != "ok" {
			t.Fatalf("bundle %d: %v", i, e.Results[0])
		}
	}
	large.GetPutChunk().Digest[0]++
	if e := r.must(t, 1000, large); codes(e) != "overloaded" || !strings.Contains(e.Results[0].Message, fmt.Sprint(control.MaxBundles)) {
		t.Errorf("over %d bytes: %v", control.MaxBundles, e.Results[0])
	}
}

func TestASetIsPutInForceByStages(t *testing.T) {
	r := filterReplica(t)
	for _, b := range []string{"one", "two", "three"} {
		r.must(t, 1000, upload(b, 4)...)
	}
	for _, c := range []struct {
		command *rpc.ControlCommand
		code    string
		stages  string
	}{
		{putFilter("a", "one", 1, "report", "eu"), "ok", "1 report eu"},
		{putFilter("a", "one", 1, "report", "eu"), "ok", "1 report eu"},
		{putFilter("a", "one", 1, "enforce", "eu"), "ok", "1 enforce eu"},
		{putFilter("a", "one", 1, "enforce"), "ok", "1 enforce "},
		{putFilter("a", "two", 1, "enforce"), "epoch_changed", "1 enforce "},
		{putFilter("a", "two", 5, "report", "eu", "us"), "ok", "1 enforce ; 5 report eu,us"},
		{putFilter("a", "three", 4, "report", "us"), "epoch_changed", "1 enforce ; 5 report eu,us"},
		{putFilter("a", "three", 4, "report"), "epoch_changed", "1 enforce ; 5 report eu,us"},
		{putFilter("a", "three", 5, "report", "us"), "epoch_changed", "1 enforce ; 5 report eu,us"},
		{putFilter("a", "three", 6, "enforce", "us"), "ok", "1 enforce ; 5 report eu; 6 enforce us"},
		{putFilter("a", "two", 5, "enforce", "eu"), "ok", "1 enforce ; 6 enforce us; 5 enforce eu"},
		{putFilter("a", "three", 6, "enforce"), "ok", "6 enforce "},
	} {
		e := r.must(t, 1000, c.command)
		if codes(e) != c.code || r.stages("a") != c.stages {
			t.Fatalf("%v: %v, stages %q, want %s and %q", c.command, e.Results[0], r.stages("a"), c.code, c.stages)
		}
		if err := r.Load(&r.store); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.chunks(t); n != 2 {
		t.Errorf("%d chunks, want the 2 of the bundle in force", n)
	}
	before := r.State().Version
	if e := r.must(t, 1000, putFilter("a", "three", 6, "enforce")); e.Changed || r.State().Version != before {
		t.Error("putting the same again changed the state")
	}
}

func TestSetsAreRefused(t *testing.T) {
	r := filterReplica(t)
	r.must(t, 1000, append(upload("bundle", 4), putEdge(7, 0, false))...)
	ok := putFilter("a", "bundle", 1, "report")
	change := func(f func(p *rpc.PutFilter)) *rpc.ControlCommand {
		c := proto.Clone(ok).(*rpc.ControlCommand)
		f(c.GetPutFilter())
		return c
	}
	for name, c := range map[string]struct {
		command    *rpc.ControlCommand
		code, says string
	}{
		"no name":        {putFilter("", "bundle", 1, "report"), "bad_argument", "1 to 64 letters"},
		"long name":      {putFilter(strings.Repeat("n", 65), "bundle", 1, "report"), "bad_argument", "1 to 64 letters"},
		"name with /":    {putFilter("a/b", "bundle", 1, "report"), "bad_argument", "1 to 64 letters"},
		"name with é":    {putFilter("é", "bundle", 1, "report"), "bad_argument", "1 to 64 letters"},
		"long pattern":   {change(func(p *rpc.PutFilter) { p.Rooms = strings.Repeat("r", rpc.MaxPattern+1) }), "bad_argument", "pattern"},
		"no stage":       {change(func(p *rpc.PutFilter) { p.Stage = nil }), "bad_argument", "version"},
		"no version":     {putFilter("a", "bundle", 0, "report"), "bad_argument", "version"},
		"no mode":        {putFilter("a", "bundle", 1, ""), "bad_argument", "enforce or report"},
		"short digest":   {change(func(p *rpc.PutFilter) { p.Stage.Digest = p.Stage.Digest[:31] }), "bad_argument", "32 bytes"},
		"other size":     {change(func(p *rpc.PutFilter) { p.Stage.Size++ }), "bad_argument", "has 6 bytes, not 7"},
		"no such bundle": {putFilter("a", "other", 1, "report"), "not_found", "push it again"},
		"unknown region": {putFilter("a", "bundle", 1, "report", "eu", "mars"), "not_found", `"mars"; there are: eu us`},
		"region twice":   {putFilter("a", "bundle", 1, "report", "eu", "eu"), "bad_argument", "twice"},
		"many regions":   {putFilter("a", "bundle", 1, "report", make([]string, 65)...), "bad_argument", "64 regions"},
		"no such set":    {removeFilter("a"), "not_found", `no set "a"`},
	} {
		e := r.must(t, 1000, c.command)
		if codes(e) != c.code || !strings.Contains(e.Results[0].Message, c.says) || e.Changed || len(r.State().Filters) != 0 {
			t.Errorf("%s: %v, want %s: …%s…", name, e.Results[0], c.code, c.says)
		}
	}
}

func TestSetsAndStagesAreBounded(t *testing.T) {
	r := filterReplica(t)
	var commands []*rpc.ControlCommand
	for i := range control.MaxStages {
		n := node(fmt.Sprint("m", i))
		n.Region = fmt.Sprint("r", i)
		commands = append(commands, putNode(n))
	}
	r.must(t, 1000, append(commands, upload("bundle", 4)...)...)
	r.must(t, 1000, putFilter("a", "bundle", 1, "report"))
	for i := range control.MaxStages - 1 {
		r.must(t, 1000, putFilter("a", "bundle", 1, "enforce", fmt.Sprint("r", i)))
	}
	if e := r.must(t, 1000, putFilter("a", "bundle", 1, "enforce", "r15")); codes(e) != "overloaded" || !strings.Contains(e.Results[0].Message, "for all regions") {
		t.Errorf("a stage too many: %v", e.Results[0])
	}
	if e := r.must(t, 1000, putFilter("a", "bundle", 1, "enforce")); codes(e) != "ok" {
		t.Errorf("for all regions: %v", e.Results[0])
	}
	for i := range control.MaxFilterSets - 1 {
		r.must(t, 1000, putFilter(fmt.Sprint("set", i), "bundle", 1, "report"))
	}
	if e := r.must(t, 1000, putFilter("more", "bundle", 1, "report")); codes(e) != "overloaded" {
		t.Errorf("a set too many: %v", e.Results[0])
	}

	r = filterReplica(t)
	r.must(t, 1000, upload("bundle", 4)...)
	var regions []string
	for i := range 20 {
		n := node(fmt.Sprint("m", i))
		n.Region = strings.Repeat(fmt.Sprint(i%10), 200+i)
		r.must(t, 1000, putNode(n))
		regions = append(regions, n.Region)
	}
	for i := range control.MaxFilterSets {
		if e := r.must(t, 1000, putFilter(fmt.Sprint("set", i), "bundle", 1, "report", regions...)); codes(e) != "ok" {
			if size := proto.Size(&rpc.ControlState{Filters: r.State().Filters}); codes(e) != "overloaded" || size < 1_000_000 || size > 1<<20+4*i {
				t.Errorf("set %d, with %d bytes before it: %v", i, size, e.Results[0])
			}
			return
		}
	}
	t.Error("the bytes of sets are not bounded")
}

func TestBundlesGoWithTheLastThatNamesThem(t *testing.T) {
	r := filterReplica(t)
	r.must(t, 1000, append(upload("shared bundle", 4), putFilter("b", "shared bundle", 1, "report"), putFilter("a", "shared bundle", 7, "report", "eu"))...)
	if f := r.State().Filters; len(f) != 2 || f[0].Name != "a" || f[0].Rooms != "*" {
		t.Fatalf("sets %v", f)
	}
	rooms := putFilter("a", "shared bundle", 7, "report", "eu")
	rooms.GetPutFilter().Rooms = "eu-*"
	r.must(t, 1000, rooms)
	r.must(t, 1000, putFilter("a", "shared bundle", 7, "enforce", "eu"))
	if f := r.State().Filters[0]; f.Rooms != "eu-*" {
		t.Errorf("rooms %q, want what was said last", f.Rooms)
	}
	r.must(t, 1000, removeFilter("b"))
	if n := r.chunks(t); n != 4 {
		t.Errorf("%d chunks while a set names the bundle", n)
	}
	if e := r.must(t, 1000, removeFilter("a")); codes(e) != "ok" || !e.Changed || r.chunks(t) != 0 {
		t.Errorf("%d chunks behind the last set, %s", r.chunks(t), codes(e))
	}
	var got []string
	for _, a := range r.Audit(3, 0) {
		got = append(got, fmt.Sprintf("%s %s: %s", a.Actor, a.Action, a.Detail))
	}
	digest := "(89f335a2, 13 bytes)"
	want := []string{
		"ann put_filter: b version 1 " + digest + ", report in all regions, for rooms *",
		"ann put_filter: a version 7 " + digest + ", report in eu, for rooms *",
		"ann put_filter: a version 7 " + digest + ", report in eu, for rooms eu-*",
		"ann put_filter: a version 7 " + digest + ", enforce in eu, for rooms eu-*",
		"ann remove_filter: b, for rooms *",
		"ann remove_filter: a, for rooms eu-*",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("audit log:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestReportsAreToldAndCut(t *testing.T) {
	r := filterReplica(t)
	report := func(incarnation uint64, reports ...*rpc.FilterReport) *control.Effects {
		t.Helper()
		c := putEdge(incarnation, 0, false)
		c.GetPutEdge().Edge.Filters = reports
		return r.must(t, 1000, c)
	}
	report(7)
	if e := report(7, &rpc.FilterReport{Name: "a", Version: 1, Mode: "report", Engine: "folded", Words: 3}); !e.Changed {
		t.Error("a report was not told")
	}
	if e := report(7, &rpc.FilterReport{Name: "a", Version: 1, Mode: "report", Engine: "folded", Words: 3}); e.Changed {
		t.Error("the same report is a change")
	}
	audited := len(r.Audit(0, 0))
	refused := &rpc.FilterReport{Name: "a", Version: 1, Refused: 2, Problem: strings.Repeat("界", control.MaxProblem)}
	if e := report(7, refused); !e.Changed || codes(e) != "ok" {
		t.Errorf("a refusal: %s", codes(e))
	}
	if p := r.State().Edges[0].Filters[0].Problem; len(p) > control.MaxProblem || len(p) < control.MaxProblem-3 {
		t.Errorf("the problem has %d bytes", len(p))
	}
	report(7, refused)
	if a := r.Audit(0, 0)[audited:]; len(a) != 1 || a[0].Action != "filter_refused" || !strings.Contains(a[0].Detail, "edge-7 (7) in eu refuses a version 2: 界") {
		t.Errorf("audit %v, want the refusal once", a)
	}

	many := func(n int, problem string) (all []*rpc.FilterReport) {
		for i := range n {
			all = append(all, &rpc.FilterReport{Name: fmt.Sprint("s", i), Version: 1, Problem: problem})
		}
		return all
	}
	report(7, many(100, "")...)
	if n := len(r.State().Edges[0].Filters); n != control.MaxReports {
		t.Errorf("%d reports, want %d", n, control.MaxReports)
	}
	report(7, many(64, strings.Repeat("p", 500))...)
	if f := r.State().Edges[0].Filters; control.ReportsSize(f) > control.MaxEdgeReport || len(f) < 10 {
		t.Errorf("%d reports of %d bytes", len(f), control.ReportsSize(f))
	}
	for i := range uint64(control.MaxAllReports/control.MaxEdgeReport + 20) {
		report(8+i, many(64, strings.Repeat("p", 500))...)
	}
	total := 0
	for _, e := range r.State().Edges {
		total += control.ReportsSize(e.Filters)
	}
	if last := r.State().Edges[len(r.State().Edges)-1]; total > control.MaxAllReports || total < control.MaxAllReports*9/10 || len(last.Filters) != 0 {
		t.Errorf("all reports have %d bytes, the last edge %d reports", total, len(last.Filters))
	}
	if err := r.Load(&r.store); err != nil {
		t.Fatal(err)
	}
	if err := r.Check(); err != nil {
		t.Error(err)
	}
	r.must(t, 100_000, tick())
	if e := report(9, many(1, "")...); protocol.Code(e.Results[0].Code) != protocol.OK || len(r.State().Edges[0].Filters) != 1 {
		t.Error("room for reports did not come back with the edges that left")
	}
}
