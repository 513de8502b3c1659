// Package wan carries packets between regions, with the delay, jitter, loss
// and bandwidth that each direction of each link is given. It is a router in
// user space, because many kernels come without the netem queueing discipline:
// one TUN device in each region's namespace, whole IP packets through it.
package wan

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/barrage-im/barrage/fleet/lab/netns"
	"github.com/barrage-im/barrage/fleet/lab/plan"
)

const (
	device = "wan0"
	mtu    = 1500
	// queued packets of one direction: 6 MB of full ones, 0.3 s at 160 Mbit/s.
	queued = 4096
	// maxTable bounds a table sent to the router: far above any lab's.
	maxTable = 1 << 20
)

// A Table is what every link does, and which regions are cut off from all
// others. A link that is not named passes everything on at once.
type Table struct {
	Links map[string]Rule `json:"links,omitempty"` // by Link
	Cut   map[string]bool `json:"cut,omitempty"`   // by region
	Seed  uint64          `json:"seed,omitempty"`  // of loss and jitter
}

// Link names the direction from one region to another.
func Link(from, to string) string { return from + ">" + to }

// Count is what one direction has carried and dropped since the router began.
type Count struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
	Lost    uint64 `json:"lost"`    // by rule or cut
	Dropped uint64 `json:"dropped"` // for want of room
}

// Status is what the router answers.
type Status struct {
	Table  Table            `json:"table"`
	Counts map[string]Count `json:"counts"`
}

// A packet on its way.
type packet struct {
	at   time.Time
	data []byte
}

// A lane is one direction between two regions.
type lane struct {
	out   *os.File // the far region's device
	queue chan packet

	mu     sync.Mutex // guards the fields below
	rule   Rule
	cut    bool
	shaper shaper

	packets, bytes, lost, dropped atomic.Uint64
}

// A router has a lane for each ordered pair of regions.
type router struct {
	lab     plan.Lab
	file    string // where the table is kept
	devices []*os.File
	lanes   map[string]*lane

	mu    sync.Mutex // guards table and file
	table Table
}

// Run routes until ctx is done. The table is kept in dir/links.json, changed
// and read through the socket dir/wan.sock.
func Run(ctx context.Context, dir string, lab plan.Lab) error {
	r := &router{lab: lab, file: filepath.Join(dir, "links.json"), lanes: map[string]*lane{}}
	if err := r.load(); err != nil {
		return err
	}
	for _, region := range lab.Regions {
		f, err := open(region)
		if err != nil {
			return fmt.Errorf("device of region %s: %w", region.Name, err)
		}
		defer f.Close() //nolint:errcheck // the device goes with it
		r.devices = append(r.devices, f)
	}
	for i, from := range lab.Regions {
		for j, to := range lab.Regions {
			if i != j {
				r.lanes[Link(from.Name, to.Name)] = &lane{out: r.devices[j], queue: make(chan packet, queued)}
			}
		}
	}
	r.apply()
	for _, region := range lab.Regions { // a route only leads somewhere now
		if err := r.connect(region); err != nil {
			return fmt.Errorf("routes of region %s: %w", region.Name, err)
		}
	}

	socket := filepath.Join(dir, "wan.sock")
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", socket)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: r, ReadHeaderTimeout: 5 * time.Second}

	var workers sync.WaitGroup
	for i, region := range lab.Regions {
		workers.Go(func() { r.read(region, r.devices[i]) })
	}
	for _, l := range r.lanes {
		workers.Go(func() { l.deliver(ctx) })
	}
	workers.Go(func() {
		<-ctx.Done()
		server.Close() //nolint:errcheck // there is nothing to do about it
		for _, f := range r.devices {
			f.Close() //nolint:errcheck // ends its reader
		}
	})
	err = server.Serve(listener)
	if ctx.Err() == nil {
		return err // without its socket the router is of no use; main exits
	}
	workers.Wait()
	return nil
}

// read passes on what a region sends to others.
func (r *router) read(from plan.Region, device *os.File) {
	buffer := make([]byte, 65536)
	for {
		n, err := device.Read(buffer)
		if err != nil {
			return
		}
		if n < 20 || buffer[0]>>4 != 4 {
			continue // only IPv4 has a plan
		}
		to, ok := r.lab.At(netip.AddrFrom4([4]byte(buffer[16:20])))
		if !ok || to == from {
			continue
		}
		r.lanes[Link(from.Name, to.Name)].accept(buffer[:n], time.Now())
	}
}

func (l *lane) accept(data []byte, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		l.lost.Add(1)
		return
	}
	at, ok := l.shaper.next(l.rule, len(data), now)
	if !ok {
		l.lost.Add(1)
		return
	}
	select {
	case l.queue <- packet{at: at, data: append([]byte(nil), data...)}:
		l.packets.Add(1)
		l.bytes.Add(uint64(len(data)))
	default:
		l.dropped.Add(1)
	}
}

// deliver writes packets into the far region, each at its time. What was on
// its way when the link was cut does not arrive.
func (l *lane) deliver(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-l.queue:
			if wait := time.Until(p.at); wait > 0 {
				timer.Reset(wait)
				select {
				case <-ctx.Done():
					return
				case <-timer.C:
				}
			}
			l.mu.Lock()
			cut := l.cut
			l.mu.Unlock()
			if cut {
				l.lost.Add(1)
				continue
			}
			if _, err := l.out.Write(p.data); err != nil {
				l.dropped.Add(1)
			}
		}
	}
}

// ServeHTTP answers GET with a Status, and PUT of a Table by obeying it.
func (r *router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method == http.MethodPut {
		var t Table
		d := json.NewDecoder(http.MaxBytesReader(w, req.Body, maxTable))
		d.DisallowUnknownFields()
		if err := d.Decode(&t); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := r.set(t); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	r.mu.Lock()
	status := Status{Table: r.table, Counts: map[string]Count{}}
	r.mu.Unlock()
	for name, l := range r.lanes {
		status.Counts[name] = Count{Packets: l.packets.Load(), Bytes: l.bytes.Load(), Lost: l.lost.Load(), Dropped: l.dropped.Load()}
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(status) //nolint:errcheck,errchkjson // the asker went away
}

func (r *router) set(t Table) error {
	for name, rule := range t.Links {
		if r.lanes[name] == nil {
			return fmt.Errorf("link %s: %w", name, plan.ErrUnknown)
		}
		if err := rule.Check(); err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
	}
	for name := range t.Cut {
		if _, err := r.lab.Region(name); err != nil {
			return err
		}
	}
	b, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := os.WriteFile(r.file, b, 0o644); err != nil {
		return err
	}
	r.table = t
	r.apply()
	return nil
}

func (r *router) load() error {
	b, err := os.ReadFile(r.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &r.table); err != nil {
		return fmt.Errorf("%s: %w", r.file, err)
	}
	return nil
}

// apply gives each lane its rule. Losses follow the seed from here on.
func (r *router) apply() {
	for i, from := range r.lab.Regions {
		for j, to := range r.lab.Regions {
			l := r.lanes[Link(from.Name, to.Name)]
			if l == nil {
				continue
			}
			l.mu.Lock()
			l.rule = r.table.Links[Link(from.Name, to.Name)]
			l.cut = r.table.Cut[from.Name] || r.table.Cut[to.Name]
			l.shaper = shaper{rng: rand.New(rand.NewPCG(r.table.Seed, uint64(i)<<32|uint64(j))), last: l.shaper.last}
			l.mu.Unlock()
		}
	}
}

// open makes a region's TUN device; it exists as long as the file is open.
func open(region plan.Region) (f *os.File, err error) {
	err = netns.Do(region.Namespace(), func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open /dev/net/tun: %w", err)
		}
		req, err := unix.NewIfreq(device)
		if err != nil {
			return err
		}
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
			unix.Close(fd) //nolint:errcheck // the first error counts
			return fmt.Errorf("make %s: %w", device, err)
		}
		f = os.NewFile(uintptr(fd), device)
		return nil
	})
	return f, err
}

// connect leads a region's traffic for all others into its device.
func (r *router) connect(region plan.Region) error {
	lines := []string{fmt.Sprintf("link set %s mtu %d up", device, mtu)}
	for _, other := range r.lab.Regions {
		if other != region {
			lines = append(lines,
				fmt.Sprintf("route replace %s dev %s src %s", other.Network(), device, region.IP()),
				fmt.Sprintf("route replace %s dev %s src %s", other.Pods(), device, region.IP()))
		}
	}
	return netns.IP(region.Namespace(), lines...)
}

// Get asks the router of a lab how it is.
func Get(ctx context.Context, dir string) (Status, error) { return call(ctx, dir, http.MethodGet, nil) }

// Set gives it a new table.
func Set(ctx context.Context, dir string, t Table) (Status, error) {
	return call(ctx, dir, http.MethodPut, t)
}

func call(ctx context.Context, dir, method string, body any) (Status, error) {
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, "wan.sock"))
		},
	}}
	defer client.CloseIdleConnections()
	b, err := json.Marshal(body)
	if err != nil {
		return Status{}, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://wan/", bytes.NewReader(b))
	if err != nil {
		return Status{}, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return Status{}, fmt.Errorf("router between regions: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	if resp.StatusCode != http.StatusOK {
		reason, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)) //nolint:errcheck // what there is of it
		return Status{}, fmt.Errorf("router between regions: %s", reason)
	}
	var s Status
	return s, json.NewDecoder(resp.Body).Decode(&s)
}
