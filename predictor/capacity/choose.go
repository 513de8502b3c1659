package capacity

import (
	"math"
	"time"
)

// Prices, in pods, and shares of minutes with too few.
const (
	minPrice, maxPrice = 1, 1e5
	minShort, maxShort = 0.0001, 0.1
	firstPrice         = 300
	// priceRate is how fast the price follows the shortages, in powers of ten: five
	// minutes with too few pods are a factor of ten.
	priceRate = 0.2
	// bridge: a pod is kept when it is needed again, with at least this
	// probability, before another one could be removed and started.
	bridge = 0.25
)

// A chooser is what a policy knows beside the forecast.
type chooser struct {
	cfg       Config
	perPod    float64
	price     float64
	allowance float64 // pods that may be removed, collected over ticks
	ticks     int     // of the minute so far
	short     bool    // it had too few pods
	last      Decision
}

func newChooser(cfg Config) *chooser {
	c := &chooser{cfg: cfg, perPod: cfg.PerPod, price: cfg.Price}
	if c.price == 0 {
		c.price = firstPrice
	}
	return c
}

func (c *chooser) decide(b *Bank, t Tick) Decision {
	if !usable(t.Load) {
		c.last.Fresh = false
		c.last.Replicas = max(c.last.Replicas, t.Replicas, c.cfg.Least)
		c.last.High = float64(c.last.Replicas) * c.perPod
		return c.last
	}
	c.judge(t)
	need := c.whole(b.f.recent(int((time.Minute + c.cfg.Tick - 1) / c.cfg.Tick)))
	d := Decision{Peak: t.Load, Fresh: b.fresh}
	if d.Fresh {
		d.Peak = b.again.quantile(0.5)
		d.Replicas = c.choose(b, t, need)
	} else {
		d.Replicas = c.shrink(t.Replicas, need)
	}
	d.High = float64(d.Replicas) * c.perPod
	c.last = d
	return d
}

// whole is how many pods carry a load, within the limits.
func (c *chooser) whole(load float64) int {
	n := math.Ceil(load / c.perPod)
	return c.zoned(int(min(n, maxReplicas)))
}

// zoned adds the pods of a lost zone.
func (c *chooser) zoned(n int) int {
	if z := c.cfg.Zones; z > 1 {
		n = (n*z + z - 2) / (z - 1)
	}
	return min(max(n, c.cfg.Least), maxReplicas)
}

// judge lets the price follow whether a minute had too few pods.
func (c *chooser) judge(t Tick) {
	if c.cfg.Price != 0 || t.Ready < 1 {
		return
	}
	c.short = c.short || t.Load > float64(t.Ready)*c.perPod
	if c.ticks++; time.Duration(c.ticks)*c.cfg.Tick < time.Minute {
		return
	}
	short := 0.0
	if c.short {
		short = 1
	}
	c.short, c.ticks = false, 0
	c.price *= math.Pow(10, priceRate*(short-c.cfg.Short))
	c.price = min(max(c.price, minPrice), maxPrice)
}

func (c *chooser) choose(b *Bank, t Tick, need int) int {
	want := max(need, c.zoned(c.cheapest(&b.up)))
	if want >= t.Replicas {
		c.allowance = 0
		return want
	}
	// Fewer: not those that the ticks before need (more would come too late), nor
	// those that come back.
	want = min(t.Replicas, max(want, c.zoned(c.cheapest(&b.hold))))
	for n := t.Replicas; n > want; n-- {
		if b.again.exceeds(float64(n-1)*c.perPod) >= bridge {
			want = n
		}
	}
	return c.shrink(t.Replicas, want)
}

// shrink bounds how many pods go in a tick.
func (c *chooser) shrink(have, want int) int {
	if want >= have {
		c.allowance = 0
		return want
	}
	ticks := 60 / c.cfg.Tick.Seconds()
	c.allowance = min(c.allowance+c.cfg.Shrink*float64(have)/ticks, c.cfg.Shrink*float64(have))
	gone := min(have-want, max(1, int(c.allowance)))
	c.allowance = max(0, c.allowance-float64(gone))
	return have - gone
}

// cheapest is the n of least n + price × P(load > n pods' worth).
func (c *chooser) cheapest(t *tail) int {
	first := max(0, int(t.mean/c.perPod))
	best, at := math.Inf(1), first
	for n := first; float64(n-first) < best && n < maxReplicas; n++ {
		above := t.exceeds(float64(n) * c.perPod)
		if cost := float64(n-first) + c.price*above; cost < best-1e-12 {
			best, at = cost, n
		}
		if above == 0 {
			break
		}
	}
	return at
}
