package cmd

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/filter/bundle"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/cmd/operator"
	"github.com/barrage-im/barrage/protocol/ops"
	"github.com/barrage-im/barrage/protocol/rpc"
)

const (
	pushPiece  = 256 << 10              // bytes of a message
	pushTime   = time.Minute            // for storing a bundle: core gives up then
	pollPause  = 100 * time.Millisecond // between two looks at the edges
	defaultSet = "default"
)

type pushOptions struct {
	operator.Options `yaml:",inline"`

	Set        string        `yaml:"set" help:"name of the set; empty: the bundle's, or default"`
	Rooms      string        `yaml:"rooms" help:"pattern of the rooms' names; empty: as it was, or *"`
	Regions    []string      `yaml:"regions" help:"where; empty: everywhere, which ends what holds in single regions"`
	Mode       string        `yaml:"mode" help:"enforce, or report: verdicts are only reported; empty: the bundle's, or enforce"`
	Key        string        `yaml:"key" help:"private key to sign lists with; empty: filter.key in --tls"`
	AcceptHits bool          `yaml:"accept_hits" help:"a jump of the hit rate is meant"`
	Wait       time.Duration `yaml:"wait" help:"how long edges may take; 0 does not wait"`
}

// Validate refuses what cannot work.
func (o pushOptions) Validate() error {
	if o.Mode != "" && o.Mode != bundle.Enforce && o.Mode != bundle.Report {
		return fmt.Errorf("mode %q: use %s or %s", o.Mode, bundle.Enforce, bundle.Report)
	}
	if o.Set != "" {
		if err := filter.CheckName(o.Set); err != nil {
			return fmt.Errorf("set: %w", err)
		}
	}
	return checkTimeout(o.Options)
}

// push is "barrage filter push": rules are put in force, and the edges say
// whether they took them.
func push(ctx context.Context, s streams, args []string) error {
	const usage = "filter push [flags] BUNDLE | LIST…"
	o := pushOptions{Options: operator.Defaults(), Wait: 10 * time.Second}
	paths, err := ops.Flags(usage, &o, args)
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return ops.Usagef("usage: barrage %s", usage)
	}
	inputs, err := readInputs(paths)
	if err != nil {
		return &ops.UsageError{Err: err}
	}
	var p *parcel
	if slices.ContainsFunc(inputs, func(in input) bool { return bundle.Is(in.data) }) {
		p, err = o.finished(inputs)
	} else {
		p, err = o.lists(inputs, s.err)
	}
	if err != nil {
		return &ops.UsageError{Err: err}
	}
	return remote(ctx, s.err, o.Options, func(ctx context.Context, core rpc.OperatorClient) error {
		return o.deliver(ctx, core, p, s.out)
	})
}

// parcel is what is to be pushed: a bundle, or lists that become one when their
// version is known.
type parcel struct {
	set, mode string
	version   uint64 // 0: the next
	data      []byte
	make      func(version uint64) ([]byte, error)
}

// input is one file that the command was given.
type input struct {
	path string
	data []byte
}

func readInputs(paths []string) ([]input, error) {
	if len(paths) > bundle.MaxLists {
		return nil, fmt.Errorf("%d files: a set can have %d lists", len(paths), bundle.MaxLists)
	}
	var all []input
	total := 0
	for _, path := range paths {
		data, err := readFile(path, filter.MaxSource)
		if err != nil {
			return nil, err
		}
		if total += len(data); total > filter.MaxSource {
			return nil, fmt.Errorf("the files have more than %d bytes together: make several sets of them", filter.MaxSource)
		}
		all = append(all, input{path, data})
	}
	return all, nil
}

// finished takes a bundle that "barrage filter compile" made.
func (o pushOptions) finished(inputs []input) (*parcel, error) {
	if len(inputs) != 1 {
		return nil, errors.New("push one bundle, or lists, not both")
	}
	path := inputs[0].path
	b, err := bundle.Unverified(inputs[0].data) // edges look at the signature
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case b.KeyID == "":
		return nil, fmt.Errorf("%s is not signed and no edge would take it: make it again with --key", path)
	case o.Set != "" && o.Set != b.Name:
		return nil, fmt.Errorf("%s was made for the set %s, not %s", path, b.Name, o.Set)
	}
	return &parcel{set: b.Name, mode: first(o.Mode, b.Mode, bundle.Enforce), version: b.Version, data: inputs[0].data}, nil
}

// lists reads word lists, and the key to sign them with. Warnings are remarks.
func (o pushOptions) lists(inputs []input, remarks io.Writer) (*parcel, error) {
	var lists []*filter.List
	for _, in := range inputs {
		list, problems := filter.ParseList(listName(in.path), in.data)
		var bad []error
		for _, p := range problems {
			if p.Fatal {
				bad = append(bad, fmt.Errorf("%s: %s", in.path, p))
			} else if _, err := fmt.Fprintf(remarks, "%s: %s\n", in.path, operator.Printable(p.String())); err != nil {
				return nil, err
			}
		}
		if filter.Fatal(problems) {
			return nil, errors.Join(bad...)
		}
		lists = append(lists, list)
	}
	path := first(o.Key, filepath.Join(o.TLS, "filter.key"))
	text, err := readFile(path, maxKeyFile)
	if err != nil {
		return nil, fmt.Errorf("the key to sign with: %w; name one with --key, or make one: barrage filter key", err)
	}
	key, err := bundle.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	set, mode := first(o.Set, defaultSet), first(o.Mode, bundle.Enforce)
	return &parcel{set: set, mode: mode, make: func(version uint64) ([]byte, error) {
		return bundle.Make(bundle.Manifest{Name: set, Version: version, CreatedMS: time.Now().UnixMilli(), Mode: mode}, lists, key)
	}}, nil
}

// first is the first text that is not empty.
func first(texts ...string) string {
	i := slices.IndexFunc(texts, func(s string) bool { return s != "" })
	return texts[i]
}

// deliver pushes, and waits for the edges.
func (o pushOptions) deliver(ctx context.Context, core rpc.OperatorClient, p *parcel, stdout io.Writer) error {
	before, err := ask(ctx, o.Options, core)
	if err != nil {
		return err
	}
	if p.make != nil {
		p.version = nextVersion(before, p.set)
		if p.data, err = p.make(p.version); err != nil {
			return &ops.UsageError{Err: err}
		}
	}
	digest := sha256.Sum256(p.data)
	put := &rpc.PutFilter{Name: p.set, Rooms: o.Rooms, Stage: &rpc.FilterStage{
		Version: p.version, Digest: digest[:], Size: uint32(len(p.data)), Mode: p.mode, Regions: o.Regions, AcceptHits: o.AcceptHits,
	}}
	res, err := send(ctx, core, put, p.data)
	if err != nil {
		return err
	}
	switch code := protocol.Code(res.GetCode()); code {
	case protocol.OK:
	case protocol.BadArgument, protocol.NotFound:
		return ops.Usagef("%s", res.GetMessage())
	default:
		return &protocol.Error{Code: code, Message: res.GetMessage()}
	}
	if _, err := fmt.Fprintf(stdout, "%s version %d is stored (%d bytes), to %s\n", p.set, p.version, len(p.data), p.mode); err != nil || o.Wait == 0 {
		return err
	}
	return o.follow(ctx, core, put, viewEdges(before, p.set), stdout)
}

// nextVersion is above all that control or an edge knows of a set, which may
// have been removed meanwhile.
func nextVersion(state *rpc.ControlState, set string) (version uint64) {
	for _, s := range setOf(state, set).GetStages() {
		version = max(version, s.GetVersion())
	}
	for _, e := range state.GetEdges() {
		for _, r := range e.GetFilters() {
			if r.GetName() == set {
				version = max(version, r.GetVersion(), r.GetRefused())
			}
		}
	}
	return version + 1
}

// send streams a bundle to core.
func send(ctx context.Context, core rpc.OperatorClient, put *rpc.PutFilter, data []byte) (*rpc.ControlResult, error) {
	ctx, cancel := context.WithTimeout(ctx, pushTime)
	defer cancel()
	stream, err := core.PushFilter(ctx)
	if err != nil {
		return nil, err
	}
	err = stream.Send(&rpc.PushFilterRequest{Frame: &rpc.PushFilterRequest_Put{Put: put}})
	for piece := range slices.Chunk(data, pushPiece) {
		if err == nil {
			err = stream.Send(&rpc.PushFilterRequest{Frame: &rpc.PushFilterRequest_Data{Data: piece}})
		}
	}
	if err != nil && !errors.Is(err, io.EOF) { // on EOF the answer is there, or says why not
		return nil, err
	}
	return stream.CloseAndRecv()
}
