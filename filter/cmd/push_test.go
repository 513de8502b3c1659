package cmd

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/filter/bundle"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/ops"
	"github.com/barrage-im/barrage/protocol/pki"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// fakeCore is a core node with edges in eu and us. Edges answer a push the second
// time that somebody looks.
type fakeCore struct {
	rpc.UnimplementedOperatorServer
	refuse rpc.ControlResult // of a push

	mu     sync.Mutex // guards the fields below
	state  *rpc.ControlState
	pushed []byte
	answer func(e *rpc.Edge, f *rpc.FilterSet) *rpc.FilterReport // nil: none
	looks  int
}

func newFakeCore() *fakeCore {
	return &fakeCore{
		state: &rpc.ControlState{Edges: []*rpc.Edge{
			{Incarnation: 1, Name: "e1", Region: "eu"}, {Incarnation: 2, Name: "u1", Region: "us"}, {Incarnation: 3, Name: "u2", Region: "us", Draining: true},
		}},
		answer: func(e *rpc.Edge, f *rpc.FilterSet) *rpc.FilterReport {
			s := stageFor(f, e.GetRegion())
			return &rpc.FilterReport{Name: f.GetName(), Version: s.GetVersion(), Mode: s.GetMode(), Engine: "folded", Words: 2}
		},
	}
}

func (f *fakeCore) ClusterStatus(context.Context, *rpc.StatusRequest) (*rpc.ClusterStatusResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.looks++; f.looks%2 == 1 && len(f.state.Filters) > 0 {
		for _, e := range f.state.Edges {
			if r := f.answer(e, f.state.Filters[0]); r != nil && !e.Draining {
				e.Filters = []*rpc.FilterReport{r}
			}
		}
	}
	return &rpc.ClusterStatusResponse{State: proto.Clone(f.state).(*rpc.ControlState)}, nil
}

func (f *fakeCore) PushFilter(stream rpc.Operator_PushFilterServer) error {
	var put *rpc.PutFilter
	var data []byte
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if p := m.GetPut(); p != nil {
			put = p
		}
		data = append(data, m.GetData()...)
	}
	if f.refuse.Code != 0 {
		return stream.SendAndClose(&rpc.ControlResult{Code: f.refuse.Code, Message: f.refuse.Message})
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pushed = data
	f.state.Filters = []*rpc.FilterSet{{Name: put.GetName(), Rooms: "*", Stages: []*rpc.FilterStage{put.GetStage()}}}
	return stream.SendAndClose(&rpc.ControlResult{})
}

func (f *fakeCore) DropFilter(_ context.Context, req *rpc.RemoveFilter) (*rpc.ControlResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if setOf(f.state, req.GetName()) == nil {
		return &rpc.ControlResult{Code: uint32(protocol.NotFound), Message: "there is no such set"}, nil
	}
	f.state.Filters = nil
	return &rpc.ControlResult{}, nil
}

// serve starts the node and returns the flags that reach it; --tls holds a key
// to sign with.
func serve(t *testing.T, f *fakeCore) (flags []string, key ed25519.PrivateKey) {
	t.Helper()
	ca, err := pki.NewCA("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(pki.Core, "c1", nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	creds, err := cert.Credentials()
	if err != nil {
		t.Fatal(err)
	}
	mine, err := ca.Issue(pki.Operator, "ann", nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "operator")
	if err := mine.Write(dir); err != nil {
		t.Fatal(err)
	}
	key = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	text, err := bundle.MarshalPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	keepFile(t, filepath.Join(dir, "filter.key"), text)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(creds.ServerConfig("h2"))))
	rpc.RegisterOperatorServer(server, f)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return []string{"--server", listener.Addr().String(), "--tls", dir}, key
}

// to has a sub-command write there.
func to(out io.Writer) streams { return streams{strings.NewReader(""), out, io.Discard} }

func keepFile(t *testing.T, path string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func listFile(t *testing.T, name, text string) string {
	t.Helper()
	return keepFile(t, filepath.Join(t.TempDir(), name), []byte(text))
}

const twoWords = "%list 1\nbadword\nworse\n"

func TestListsArePushedAndFollowed(t *testing.T) {
	f := newFakeCore()
	f.state.Edges[0].Filters = []*rpc.FilterReport{{Name: "default", Refused: 7}} // of a set that was removed
	flags, key := serve(t, f)
	var out bytes.Buffer
	if err := push(t.Context(), to(&out), append(flags, "--mode", "report", "--accept-hits", listFile(t, "rude.txt", twoWords))); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	stage := f.state.GetFilters()[0].GetStages()[0]
	if digest := sha256.Sum256(f.pushed); stage.GetVersion() != 8 || stage.GetMode() != "report" || !stage.GetAcceptHits() ||
		!bytes.Equal(stage.GetDigest(), digest[:]) || int(stage.GetSize()) != len(f.pushed) {
		t.Errorf("stage %v", stage)
	}
	b, err := bundle.Open(f.pushed, []ed25519.PublicKey{key.Public().(ed25519.PublicKey)})
	if err != nil || b.Name != "default" || b.Version != 8 || len(b.Entries()) != 2 || b.Lists[0].Name != "rude" {
		t.Errorf("bundle %+v: %v", b, err)
	}
	for _, want := range []string{"default version 8 is stored", "e1 ", "u1 ", "in force", "folded"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "u2 ") {
		t.Errorf("waited for an edge that drains:\n%s", out.String())
	}
}

func TestABundleIsPushedAsItIs(t *testing.T) {
	f := newFakeCore()
	flags, key := serve(t, f)
	text := listFile(t, "rude.txt", twoWords)
	o := pushOptions{Set: "kids", Key: filepath.Join(flags[3], "filter.key")}
	sources, err := readInputs([]string{text})
	if err != nil {
		t.Fatal(err)
	}
	p, err := o.lists(sources, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	data, err := p.make(41)
	if err != nil {
		t.Fatal(err)
	}
	path := keepFile(t, filepath.Join(t.TempDir(), "kids.bundle"), data)
	var out bytes.Buffer
	if err := push(t.Context(), to(&out), append(flags, "--regions", "eu", path)); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if s := f.state.GetFilters()[0].GetStages()[0]; f.state.GetFilters()[0].GetName() != "kids" || s.GetVersion() != 41 || s.GetRegions()[0] != "eu" ||
		s.GetMode() != "enforce" || !bytes.Equal(f.pushed, data) {
		t.Errorf("sets %v", f.state.GetFilters())
	}
	if strings.Contains(out.String(), "u1 ") {
		t.Errorf("waited for another region:\n%s", out.String())
	}
	unsigned, err := bundle.Make(bundle.Manifest{Name: "kids", Version: 1}, mustOpen(t, data, key).Lists, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"another set":      {[]string{"--set", "adults", path}, "made for the set kids"},
		"lists besides":    {[]string{path, text}, "not both"},
		"not signed":       {[]string{keepFile(t, filepath.Join(t.TempDir(), "b"), unsigned)}, "--key"},
		"damaged":          {[]string{keepFile(t, filepath.Join(t.TempDir(), "b"), data[:len(data)-9])}, "damaged"},
		"no file":          {nil, "usage"},
		"no such file":     {[]string{filepath.Join(t.TempDir(), "none")}, "no such file"},
		"bad mode":         {[]string{"--mode", "try", path}, "use enforce or report"},
		"bad set":          {[]string{"--set", "a/b", path}, "a/b"},
		"bad list":         {[]string{listFile(t, "x.txt", "badword\n")}, "x.txt: line 1"},
		"no key":           {[]string{"--key", filepath.Join(t.TempDir(), "none"), text}, "--key"},
		"not a key":        {[]string{"--key", text, text}, "PEM"},
		"no time":          {[]string{"--timeout", "0s", path}, "timeout"},
		"no such flag":     {[]string{"--region", "eu", path}, "--regions"},
		"too many sources": {strings.Split(strings.Repeat(text+"\n", bundle.MaxLists)+text, "\n"), "64 lists"},
	} {
		var usage *ops.UsageError
		if err := push(t.Context(), to(io.Discard), append(flags, c.args...)); !errors.As(err, &usage) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want a usage error: …%s…", name, err, c.says)
		}
	}
}

func mustOpen(t *testing.T, data []byte, key ed25519.PrivateKey) *bundle.Bundle {
	t.Helper()
	b, err := bundle.Open(data, []ed25519.PublicKey{key.Public().(ed25519.PublicKey)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAPushThatEdgesDoNotTakeIsAnError(t *testing.T) {
	refuses := func(e *rpc.Edge, f *rpc.FilterSet) *rpc.FilterReport {
		if e.GetRegion() == "us" {
			return &rpc.FilterReport{Name: f.GetName(), Refused: f.GetStages()[0].GetVersion(), Problem: "a jump\x1b of the hit rate"}
		}
		return &rpc.FilterReport{Name: f.GetName(), Version: f.GetStages()[0].GetVersion(), Mode: f.GetStages()[0].GetMode()}
	}
	f := newFakeCore()
	f.answer = refuses
	flags, _ := serve(t, f)
	path := listFile(t, "rude.txt", twoWords)
	var out bytes.Buffer
	err := push(t.Context(), to(&out), append(flags, path))
	if err == nil || !strings.Contains(err.Error(), `1 of 2 edges refuse default version 1: a jump\x1b of the hit rate`) || !strings.Contains(out.String(), "refused 1") {
		t.Errorf("refused: %v\n%s", err, out.String())
	}
	f.answer = func(*rpc.Edge, *rpc.FilterSet) *rpc.FilterReport { return nil }
	began := time.Now()
	err = push(t.Context(), to(&out), append(flags, "--wait", "300ms", path))
	if err == nil || !strings.Contains(err.Error(), "2 of 2 edges have not put default version 2 in force") || time.Since(began) < 300*time.Millisecond {
		t.Errorf("silent: %v", err)
	}
	if err := push(t.Context(), to(&out), append(flags, "--wait", "0s", path)); err != nil {
		t.Errorf("without waiting: %v", err)
	}
	f.refuse = rpc.ControlResult{Code: uint32(protocol.EpochChanged), Message: "take the next"}
	if err := push(t.Context(), to(&out), append(flags, path)); !errors.Is(err, &protocol.Error{Code: protocol.EpochChanged}) {
		t.Errorf("refused by core: %v", err)
	}
	f.refuse = rpc.ControlResult{Code: uint32(protocol.NotFound), Message: "no such region"}
	var usage *ops.UsageError
	if err := push(t.Context(), to(&out), append(flags, path)); !errors.As(err, &usage) {
		t.Errorf("a region that is not there: %v", err)
	}
}

// What an edge refused before, it may take the second time.
func TestAnOldRefusalIsNotTheAnswer(t *testing.T) {
	f := newFakeCore()
	f.state.Edges = f.state.Edges[:1]
	flags, key := serve(t, f)
	b := mustOpenLists(t, key)
	path := keepFile(t, filepath.Join(t.TempDir(), "b"), b)
	f.state.Edges[0].Filters = []*rpc.FilterReport{{Name: "default", Refused: 5, Problem: "a jump"}}
	var out bytes.Buffer
	if err := push(t.Context(), to(&out), append(flags, "--accept-hits", path)); err != nil || !strings.Contains(out.String(), "in force") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func mustOpenLists(t *testing.T, key ed25519.PrivateKey) []byte {
	t.Helper()
	text, err := bundle.MarshalPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	o := pushOptions{Key: keepFile(t, filepath.Join(t.TempDir(), "key"), text)}
	p, err := o.lists([]input{{"rude.txt", []byte(twoWords)}}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	data, err := p.make(5)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestStatusAndRemove(t *testing.T) {
	f := newFakeCore()
	flags, _ := serve(t, f)
	show := func(args ...string) string {
		t.Helper()
		var out bytes.Buffer
		if err := status(t.Context(), to(&out), append(flags, args...)); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if got := show(); !strings.Contains(got, "no rules are in force") {
		t.Errorf("empty: %s", got)
	}
	if err := push(t.Context(), to(io.Discard), append(flags, listFile(t, "rude.txt", twoWords))); err != nil {
		t.Fatal(err)
	}
	f.state.Edges[1].Filters = []*rpc.FilterReport{{Name: "default", Refused: 1, Problem: "no key\x1b[2J"}}
	f.answer = func(*rpc.Edge, *rpc.FilterSet) *rpc.FilterReport { return nil }
	got := show()
	for _, want := range []string{"SHA-256", "enforce", "all", "refused 1", `no key\x1b[2J`, "waiting 1, draining"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing:\n%s", want, got)
		}
	}
	var view struct {
		Sets []struct {
			Name   string
			Stages []struct {
				Version uint64
				SHA256  string
			}
		}
		Edges []edgeView
	}
	if err := json.Unmarshal([]byte(show("--json")), &view); err != nil {
		t.Fatal(err)
	}
	if len(view.Sets) != 1 || view.Sets[0].Stages[0].Version != 1 || len(view.Sets[0].Stages[0].SHA256) != 64 || len(view.Edges) != 3 || view.Edges[1].State != refused {
		t.Errorf("JSON %+v", view)
	}

	var out bytes.Buffer
	if err := remove(t.Context(), to(&out), append(flags, "default")); err != nil || !strings.Contains(out.String(), "default is removed") {
		t.Errorf("remove: %v, %s", err, out.String())
	}
	if got := show(); !strings.Contains(got, "removed") {
		t.Errorf("an edge that still has it:\n%s", got)
	}
	if err := remove(t.Context(), to(&out), append(flags, "default")); !errors.Is(err, &protocol.Error{Code: protocol.NotFound}) {
		t.Errorf("remove again: %v", err)
	}
	var usage *ops.UsageError
	if err := remove(t.Context(), to(&out), flags); !errors.As(err, &usage) {
		t.Errorf("remove nothing: %v", err)
	}
	if err := status(t.Context(), to(&out), append(flags, "default")); !errors.As(err, &usage) {
		t.Errorf("status with an argument: %v", err)
	}
}
