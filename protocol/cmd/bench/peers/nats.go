package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/barrage-im/barrage/protocol/cmd/bench/ledger"
)

func serveNATS(ctx context.Context, c serverConfig, ready func()) error {
	opts := &server.Options{ServerName: c.Name, Host: "127.0.0.1", Port: c.Port, NoLog: true, NoSigs: true}
	if c.Cluster {
		opts.JetStream, opts.StoreDir, opts.SyncAlways = true, c.Dir, c.Sync
		opts.Cluster = server.ClusterOpts{Name: "bench", Host: "127.0.0.1", Port: c.Route}
		for _, port := range c.Routes {
			opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)})
		}
	} else {
		opts.Port = -1
		opts.Websocket = server.WebsocketOpts{Host: "127.0.0.1", Port: c.Port, NoTLS: true}
		opts.MaxPending = 512 << 20 // never call a member slow
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		return errors.New("not ready for connections after 10 s")
	}
	ready()
	<-ctx.Done()
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

// measureNATS: fan-out over WebSocket.
func measureNATS(ctx context.Context, o options) (Result, error) {
	result := Result{Peer: "nats-server WebSocket", Version: server.VERSION, Note: "core NATS: no order across publishers, no history, no acknowledgement"}
	ports, err := freePorts(1)
	if err != nil {
		return result, err
	}
	s, err := startServer(ctx, "nats", serverConfig{Name: "n1", Port: ports[0]})
	if err != nil {
		return result, err
	}
	defer s.stop()
	target := &url.URL{Scheme: "ws", Host: fmt.Sprintf("127.0.0.1:%d", ports[0]), Path: "/"}
	return result, fanout(ctx, o, target, dialect{
		op:    0x2,
		hello: []byte("CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":false,\"protocol\":1}\r\nSUB room 1\r\nPING\r\n"),
		ready: []byte("PONG\r\n"),
		ping:  []byte("PING\r\n"), pong: []byte("PONG\r\n"),
		publish: func(dst, text []byte) []byte {
			dst = fmt.Appendf(dst, "PUB room %d\r\n", len(text))
			return append(append(dst, text...), "\r\n"...)
		},
	}, []*process{s}, &result)
}

// measureJetStream: durable publishes to a stream with three replicas.
func measureJetStream(ctx context.Context, o options) (Result, error) {
	result := Result{Peer: "nats-server JetStream R3 file", Version: server.VERSION, Note: "sync_interval: always; no deduplication"}
	if !o.sync {
		result.Note = "sync_interval: 2 min (default), acknowledged before fsync; no deduplication"
	}
	dir, err := os.MkdirTemp(o.dir, "barrage-peers-")
	if err != nil {
		return result, err
	}
	defer os.RemoveAll(dir)
	ports, err := freePorts(6)
	if err != nil {
		return result, err
	}
	var servers []*process
	defer func() {
		for _, s := range servers {
			s.stop()
		}
	}()
	for i := range 3 {
		name := fmt.Sprintf("n%d", i+1)
		s, err := startServer(ctx, "nats", serverConfig{
			Name: name, Dir: filepath.Join(dir, name), Port: ports[i], Route: ports[3+i], Routes: ports[3:], Sync: o.sync, Cluster: true,
		})
		if err != nil {
			return result, err
		}
		servers = append(servers, s)
	}
	l := ledger.New()
	o.members = 0
	result.Outstanding = o.outstanding
	publishers, err := openStream(ctx, o, ports[:3], l)
	defer func() {
		for _, p := range publishers {
			p.nc.Close()
		}
	}()
	if err != nil {
		return result, err
	}
	err = measure(ctx, o, l, servers, &result, func(ctx context.Context) {
		var all sync.WaitGroup
		for _, p := range publishers {
			all.Go(func() { p.saturate(ctx, max(1, o.outstanding/len(publishers)), o.size) })
		}
		all.Wait()
	})
	return result, err
}

// streamPublisher is one connection that publishes to its own subject of the
// one stream.
type streamPublisher struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	ledger *ledger.Ledger
	id     int
}

func openStream(ctx context.Context, o options, ports []int, l *ledger.Ledger) ([]*streamPublisher, error) {
	var publishers []*streamPublisher
	for i := range o.publishers {
		// All connect to the node that leads the stream or is one hop away, as
		// NATS clients do: they do not look for the leader.
		nc, err := nats.Connect(fmt.Sprintf("nats://127.0.0.1:%d", ports[i%len(ports)]))
		if err != nil {
			return publishers, err
		}
		p := &streamPublisher{nc: nc, ledger: l, id: l.Publisher(i)}
		publishers = append(publishers, p)
		if p.js, err = jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(2*o.outstanding)); err != nil {
			return publishers, err
		}
	}
	if len(publishers) == 0 {
		return nil, errors.New("--publishers: at least 1")
	}
	deadline, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for { // the cluster elects its leader first
		attempt, cancel := context.WithTimeout(deadline, 2*time.Second)
		_, err := publishers[0].js.CreateStream(attempt, jetstream.StreamConfig{
			Name: "ROOMS", Subjects: []string{"room.*"}, Storage: jetstream.FileStorage, Replicas: 3,
		})
		cancel()
		if err == nil {
			return publishers, nil
		}
		if wait(deadline, 200*time.Millisecond) != nil {
			return publishers, fmt.Errorf("create stream: %w", err)
		}
	}
}

func (p *streamPublisher) saturate(ctx context.Context, outstanding, size int) {
	slots := make(chan struct{}, outstanding)
	subject := fmt.Sprintf("room.%d", p.id)
	var answers sync.WaitGroup
	defer answers.Wait()
	// A slot's goroutine waits for the answers one after the other, as they are
	// given in order.
	type sent struct {
		n      uint32
		at     int64
		answer jetstream.PubAckFuture
	}
	flying := make(chan sent, outstanding)
	answers.Go(func() {
		for s := range flying {
			select {
			case <-s.answer.Ok():
				p.ledger.Acked(p.id, s.n, s.at, ledger.Now())
			case err := <-s.answer.Err():
				p.ledger.Unknown(p.id, s.n, err.Error())
			}
			<-slots
		}
	})
	defer close(flying)
	for {
		select {
		case <-ctx.Done():
			return
		case slots <- struct{}{}:
		}
		at := ledger.Now()
		n := p.ledger.Sent(p.id)
		answer, err := p.js.PublishAsync(subject, ledger.AppendMessage(nil, p.id, n, at, size))
		if err != nil {
			p.ledger.Refused(p.id, err.Error())
			<-slots
			continue
		}
		flying <- sent{n, at, answer}
	}
}
