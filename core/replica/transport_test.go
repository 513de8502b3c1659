package replica

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// speak hands a connection with these bytes over and waits for it to be closed.
func speak(t *testing.T, m *member, b []byte) {
	t.Helper()
	us, them := net.Pipe()
	m.Handoff(them)
	if err := us.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, _ = us.Write(b) // the other side may close before it has read all
	if _, err := io.Copy(io.Discard, us); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.Fatalf("not closed: %v", err)
	}
	us.Close()
}

func shardHeader(id uint64, rest ...byte) []byte {
	return append(binary.AppendUvarint(nil, id), rest...)
}

func TestRaftPortClosesOnWhatIsNotRaft(t *testing.T) {
	t.Parallel()
	c, m := one(t, nil)
	c.put(1, "x")
	term, last := m.Shard(1).raft.CurrentTerm(), m.Shard(1).raft.LastIndex()
	for name, b := range map[string][]byte{
		"unknown shard":     shardHeader(77),
		"shard beyond all":  shardHeader(1<<40 + 1),
		"endless varint":    {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"unknown request":   shardHeader(1, 99),
		"http":              shardHeader(1, []byte("GET / HTTP/1.1\r\n\r\n")...),
		"wrong types":       shardHeader(1, 0, 0x93, 1, 2, 3),
		"a map of nonsense": shardHeader(1, 1, 0x81, 0xa4, 'T', 'e', 'r', 'm', 0xa3, 'a', 'b', 'c'),
	} {
		t.Run(name, func(t *testing.T) { speak(t, m, b) })
	}
	if got := m.Shard(1).raft.CurrentTerm(); got != term {
		t.Fatalf("term %d, was %d", got, term)
	}
	if got := m.Shard(1).raft.LastIndex(); got != last {
		t.Fatalf("last index %d, was %d", got, last)
	}
	var counted dto.Metric
	if err := m.metrics.conns.WithLabelValues("unknown_shard").Write(&counted); err != nil || counted.Counter.GetValue() != 2 {
		t.Fatalf("%v connections counted for an unknown shard (%v)", counted.Counter.GetValue(), err)
	}
	c.put(1, "still here")
}

func TestARaftRequestIsBounded(t *testing.T) {
	t.Parallel()
	us, them := net.Pipe()
	defer us.Close()
	const bound = 4 << 20
	_, m := one(t, func(cfg *Config) { cfg.hooks.request = bound })
	m.Handoff(them)
	if err := us.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	// AppendEntries whose first field is a byte string of 4 GiB.
	if _, err := us.Write(shardHeader(1, 0, 0x81, 0xa6, 'L', 'e', 'a', 'd', 'e', 'r', 0xc6, 0xff, 0xff, 0xff, 0xff)); err != nil {
		t.Fatal(err)
	}
	sent := 0
	chunk := make([]byte, 1<<16)
	for sent <= 2*bound {
		n, err := us.Write(chunk)
		sent += n
		if err != nil {
			break
		}
	}
	if sent > bound+1<<20 {
		t.Fatalf("%d bytes of one request were taken", sent)
	}
}

func TestClosingDoesNotWaitForASilentPeer(t *testing.T) {
	t.Parallel()
	c, m := one(t, nil)
	us, them := net.Pipe()
	defer us.Close()
	m.Handoff(them)
	began := time.Now()
	c.stop("a")
	if d := time.Since(began); d > headerTimeout-time.Second {
		t.Fatalf("closing took %s", d)
	}
}
