package limit_test

import (
	"fmt"
	"math"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/barrage-im/barrage/edge-node/limit"
)

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// take counts how many of n are allowed at once.
func take(t *limit.Table, key string, n int, now time.Time) (allowed int) {
	for range n {
		if ok, _ := t.Allow(key, now); ok {
			allowed++
		}
	}
	return allowed
}

func TestBurstThenRate(t *testing.T) {
	table := limit.NewTable(10, 5, 100)
	if got := take(table, "a", 20, noon); got != 5 {
		t.Errorf("%d at once, want the burst of 5", got)
	}
	ok, wait := table.Allow("a", noon)
	if ok || wait != 100*time.Millisecond {
		t.Errorf("got %t %v, want a wait of 100ms", ok, wait)
	}
	if ok, _ := table.Allow("a", noon.Add(wait-1)); ok {
		t.Error("allowed before the wait was over")
	}
	if ok, _ := table.Allow("a", noon.Add(wait)); !ok {
		t.Error("refused after the wait it named")
	}
	if got := take(table, "b", 20, noon); got != 5 {
		t.Errorf("another key got %d", got)
	}
	if got := take(table, "a", 20, noon.Add(time.Hour)); got != 5 {
		t.Errorf("%d after an hour: the bucket grew above its burst", got)
	}
}

func TestLongRunRateIsTheRate(t *testing.T) {
	table := limit.NewTable(7, 3, 100)
	allowed := 0
	for ms := range 100_000 {
		allowed += take(table, "a", 1, noon.Add(time.Duration(ms)*time.Millisecond))
	}
	if want := 7*100 + 3; allowed < want-2 || allowed > want {
		t.Errorf("%d in 100 s at 7/s with burst 3", allowed)
	}
}

func TestUnusualRates(t *testing.T) {
	for _, rate := range []float64{0, -1} {
		if got := take(limit.NewTable(rate, 1, 1), "a", 1000, noon); got != 1000 {
			t.Errorf("rate %v limits: %d", rate, got)
		}
	}
	if got := take(limit.NewTable(1, 0, 1), "a", 10, noon); got != 1 {
		t.Errorf("a burst of 0 lets %d through, want 1", got)
	}
	if got := take(limit.NewTable(1e-12, 3, 1), "a", 10, noon); got < 1 || got > 3 {
		t.Errorf("a tiny rate: %d", got)
	}
	if got := take(limit.NewTable(math.Inf(1), 1, 1), "a", 1, noon); got != 1 {
		t.Errorf("an infinite rate: %d", got)
	}
}

func TestTimeGoingBackGivesNothing(t *testing.T) {
	table := limit.NewTable(1, 2, 10)
	take(table, "a", 2, noon)
	if got := take(table, "a", 5, noon.Add(-time.Hour)); got != 0 {
		t.Errorf("%d in the past", got)
	}
}

func TestFullTableForgetsIdleKeysOnly(t *testing.T) {
	const keys = 64
	table := limit.NewTable(1, 1, keys)
	refused := 0
	for i := range 10_000 {
		if ok, wait := table.Allow(strconv.Itoa(i), noon); !ok {
			refused++
			if wait <= 0 {
				t.Fatal("a refusal without a wait")
			}
		}
	}
	if got := table.Len(); got != keys {
		t.Errorf("%d keys are held, want %d", got, keys)
	}
	if refused != 10_000-keys {
		t.Errorf("%d new keys were refused while all were in use", refused)
	}
	// A second later every bucket is full again: new keys take their places.
	later, placed := noon.Add(time.Second), 0
	for i := range 10_000 {
		if ok, _ := table.Allow("new"+strconv.Itoa(i), later); ok {
			placed++
		}
	}
	if placed != keys || table.Len() != keys {
		t.Errorf("%d new keys took the places of %d idle ones", placed, keys)
	}
}

func TestKeyInUseIsNotForgotten(t *testing.T) {
	table := limit.NewTable(1, 10, 16) // one key a shard
	take(table, "busy", 10, noon)
	for i := range 1000 {
		table.Allow(strconv.Itoa(i), noon)
	}
	if got := take(table, "busy", 10, noon); got != 0 {
		t.Errorf("a flood of keys gave the busy one %d tokens", got)
	}
}

func TestTableIsSafeForManyGoroutines(t *testing.T) {
	table := limit.NewTable(1, 100, 1000)
	var total sync.Map
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() { total.Store(g, take(table, "a", 100, noon)) })
	}
	all.Wait()
	sum := 0
	total.Range(func(_, n any) bool { sum += n.(int); return true })
	if sum != 100 {
		t.Errorf("%d were allowed together, want 100", sum)
	}
}

func TestCounter(t *testing.T) {
	c := limit.NewCounter(2, 16)
	for i, want := range []bool{true, true, false} {
		if got := c.Acquire("a"); got != want {
			t.Errorf("acquiring %d times of 2: %t", i+1, got)
		}
	}
	c.Release("a")
	if !c.Acquire("a") || c.Held("a") != 2 {
		t.Error("what was released cannot be acquired")
	}
	c.Release("a")
	c.Release("a")
	if c.Held("a") != 0 {
		t.Error("it still holds")
	}
	unlimited := limit.NewCounter(0, 1)
	for range 3 {
		if !unlimited.Acquire("a") {
			t.Error("a limit of 0 limits")
		}
	}
}

func TestCounterIsBoundedByKeys(t *testing.T) {
	const keys = 64
	c := limit.NewCounter(10, keys)
	var held []string
	for i := range 10_000 {
		if key := strconv.Itoa(i); c.Acquire(key) {
			held = append(held, key)
		}
	}
	if len(held) != keys {
		t.Errorf("%d keys hold something, want %d", len(held), keys)
	}
	for _, key := range held {
		c.Release(key)
	}
	if !c.Acquire("later") {
		t.Error("released keys keep their places")
	}
}

func TestReleaseWithoutAcquirePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("it is silent")
		}
	}()
	limit.NewCounter(1, 1).Release("a")
}

type pipe string

func (pipe) Network() string  { return "pipe" }
func (p pipe) String() string { return string(p) }

func TestAddressKey(t *testing.T) {
	tcp := func(s string) net.Addr {
		a, err := net.ResolveTCPAddr("tcp", s)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, c := range []struct {
		addr net.Addr
		want string
	}{
		{tcp("192.0.2.7:1"), "192.0.2.7"},
		{tcp("192.0.2.7:2"), "192.0.2.7"},
		{tcp("[::ffff:192.0.2.7]:1"), "192.0.2.7"},
		{tcp("[2001:db8:1:2:3:4:5:6]:1"), "2001:db8:1:2::/64"},
		{tcp("[2001:db8:1:2:ffff::]:1"), "2001:db8:1:2::/64"},
		{tcp("[2001:db8:1:3::]:1"), "2001:db8:1:3::/64"},
		{tcp("[fe80::1%lo]:1"), "fe80::/64"},
		{&net.UDPAddr{IP: net.ParseIP("2001:db8::1")}, "2001:db8::/64"},
		{pipe("192.0.2.9:5"), "192.0.2.9"},
		{pipe("pipe"), "pipe"},
		{nil, ""},
	} {
		if got := limit.AddressKey(c.addr); got != c.want {
			t.Errorf("%v: got %q, want %q", c.addr, got, c.want)
		}
	}
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	table, counter := limit.NewTable(1, 1, 100), limit.NewCounter(10, 100)
	now := noon
	if n := testing.AllocsPerRun(1000, func() {
		now = now.Add(time.Millisecond)
		table.Allow("user", now)
		if counter.Acquire("user") {
			counter.Release("user")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAllow(b *testing.B) {
	for _, keys := range []int{1, 100_000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			table := limit.NewTable(1e6, 100, keys)
			names := make([]string, keys)
			for i := range names {
				names[i] = "user-" + strconv.Itoa(i)
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				now := noon
				for i := 0; pb.Next(); i++ {
					now = now.Add(time.Microsecond)
					table.Allow(names[i%keys], now)
				}
			})
		})
	}
}

func BenchmarkAllowFlood(b *testing.B) { // every key is new and the table is full
	table := limit.NewTable(1, 1, 10_000)
	names := make([]string, 100_000)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		table.Allow(names[i%len(names)], noon)
	}
}

func BenchmarkCounter(b *testing.B) {
	c := limit.NewCounter(1000, 100)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if c.Acquire("a") {
				c.Release("a")
			}
		}
	})
}
