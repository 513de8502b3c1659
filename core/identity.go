package core

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/barrage-im/barrage/core/api"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// memberFile holds what a node must know before it can open its replicas.
const memberFile = "MEMBER"

// member is what this data directory is: made once, kept for its life.
type member struct {
	Node      string   `json:"node"`      // id, never used by another directory
	Cluster   string   `json:"cluster"`   // random id of the cluster
	Shards    []uint32 `json:"shards"`    // of rooms; control is not named
	Bootstrap bool     `json:"bootstrap"` // this directory was the cluster's first
}

// probePause is the wait between two attempts to find the cluster.
const probePause = 500 * time.Millisecond

// tellEvery is how often the log says that the cluster is still not found.
const tellEvery = 10 * time.Second

// identify reads who this node is or, with an empty directory, finds it out:
// from the cluster that the seeds know, or as the first node of a new one.
func identify(ctx context.Context, cfg Config, opts Options) (*member, error) {
	path := filepath.Join(cfg.Data, memberFile)
	b, err := os.ReadFile(path)
	if err == nil {
		m := &member{}
		if err := json.Unmarshal(b, m); err != nil || m.Node == "" || m.Cluster == "" || len(m.Shards) == 0 {
			return nil, fmt.Errorf("%s is damaged: remove the data directory, this node then joins under a new id", path)
		}
		if api.BaseName(m.Node) != cfg.Node {
			return nil, fmt.Errorf("data directory %s belongs to node %s, not %s", cfg.Data, m.Node, cfg.Node)
		}
		return m, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	m, err := newMember(ctx, cfg, opts)
	if err != nil {
		return nil, err
	}
	return m, m.write(path)
}

func newMember(ctx context.Context, cfg Config, opts Options) (*member, error) {
	cfg.Bootstrap = cfg.Bootstrap || cfg.BootstrapNode != "" && cfg.BootstrapNode == cfg.Node
	if len(cfg.Join) == 0 && !cfg.Bootstrap {
		return nil, errors.New("no data here: name nodes of the cluster with --join, or make a new cluster with --bootstrap")
	}
	var told time.Time
	for {
		state, err := api.Probe(ctx, cfg.Join, opts.Credentials, opts.Dial)
		switch {
		case ctx.Err() != nil:
			return nil, fmt.Errorf("stopped before a cluster was found at %s", strings.Join(cfg.Join, ", "))
		case state != nil:
			m := &member{Node: api.NextID(state, cfg.Node), Cluster: state.GetCluster()}
			for _, p := range state.GetPlacements() {
				m.Shards = append(m.Shards, p.GetShards()...)
			}
			return m, nil
		case cfg.Bootstrap:
			m := &member{Node: cfg.Node, Cluster: rand.Text(), Bootstrap: true}
			for i := range cfg.Shards {
				m.Shards = append(m.Shards, i+1)
			}
			return m, nil
		}
		if time.Since(told) > tellEvery {
			told = time.Now()
			opts.Log.Warn("no cluster found to join yet; trying on", "error", err)
		}
		select {
		case <-time.After(probePause):
		case <-ctx.Done():
		}
	}
}

// init is the first command of the cluster that a bootstrapped node makes.
func (m *member) init(cfg Config) *rpc.Init {
	return &rpc.Init{Cluster: m.Cluster, Placements: []*rpc.Placement{{
		Name: rpc.DefaultPlacement, Shards: m.Shards, Survive: cfg.Survive, Home: cfg.Home,
	}}}
}

// all are the shards that this node opens, control first.
func (m *member) all() []uint32 { return append([]uint32{api.ControlShard}, m.Shards...) }

func (m *member) write(path string) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
