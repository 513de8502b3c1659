package bench

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/barrage-im/barrage/protocol/cmd/bench/ledger"
)

// A Report is what a run found. Rates and CPU are of the measured time, counts
// of the whole run. CPU is user and system time together.
type Report struct {
	Mode        string    `json:"mode"`
	Began       time.Time `json:"began"`
	Servers     []string  `json:"servers"`
	Rooms       int       `json:"rooms"`
	Members     int       `json:"members_per_room"`
	Publishers  int       `json:"publishers_per_room"`
	Connections int       `json:"connections"`
	Rate        float64   `json:"rate_per_room,omitempty"`
	Outstanding int       `json:"outstanding,omitempty"`
	Size        int       `json:"size"`
	Seconds     float64   `json:"seconds"`
	CPUs        int       `json:"cpus"`

	ledger.Account

	AckedPerSecond     float64 `json:"acknowledged_per_second"`
	DeliveredPerSecond float64 `json:"delivered_per_second"`

	ServerCPUSeconds  float64   `json:"server_cpu_seconds,omitempty"`
	ClientCPUSeconds  float64   `json:"client_cpu_seconds"`
	CPUPerAck         float64   `json:"server_cpu_us_per_acknowledged,omitempty"`
	CPUPerDelivery    float64   `json:"server_cpu_us_per_delivery,omitempty"`
	ServerRSS         uint64    `json:"server_rss_bytes,omitempty"`
	RSSPerConnection  float64   `json:"server_rss_bytes_per_connection,omitempty"`
	RateLimited       uint64    `json:"rate_limited"` // publishes put off by a rate and tried again
	LostConnections   uint64    `json:"connections_lost"`
	FirstLost         string    `json:"first_connection_lost,omitempty"`
	Storm             *Recovery `json:"storm,omitempty"`
	AccountCloses     bool      `json:"account_closes"`
	UnmeasuredSeconds float64   `json:"warmup_seconds"`
}

func (r *run) report() Report {
	o := &r.opt
	rep := Report{
		Mode: o.mode, Began: r.began.UTC(), Rooms: o.rooms, Members: o.members, Publishers: o.publishers,
		Connections: len(r.members) + len(r.clients), Rate: o.rate, Size: o.size, CPUs: runtime.NumCPU(),
		Seconds: r.after.at.Sub(r.before.at).Seconds(), UnmeasuredSeconds: o.warmup.Seconds(),
		Account: r.ledger.Close(), Storm: r.recovery,
	}
	if o.mode == "publish" {
		rep.Rate, rep.Outstanding = 0, o.outstanding
	}
	for _, c := range r.clients {
		rep.RateLimited += c.RateLimited()
	}
	for _, s := range o.servers {
		rep.Servers = append(rep.Servers, s.String())
	}
	acked := float64(r.after.counts.Acked - r.before.counts.Acked)
	delivered := float64(r.after.counts.Delivered - r.before.counts.Delivered)
	if rep.Seconds > 0 {
		rep.AckedPerSecond, rep.DeliveredPerSecond = acked/rep.Seconds, delivered/rep.Seconds
	}
	rep.ServerCPUSeconds = (r.after.usage.CPU - r.before.usage.CPU).Seconds()
	rep.ClientCPUSeconds = (r.after.self.CPU - r.before.self.CPU).Seconds()
	if acked > 0 {
		rep.CPUPerAck = rep.ServerCPUSeconds * 1e6 / acked
	}
	if delivered > 0 {
		rep.CPUPerDelivery = rep.ServerCPUSeconds * 1e6 / delivered
	}
	rep.ServerRSS = r.after.usage.RSS
	if len(r.members) > 0 && o.mode == "idle" {
		rep.RSSPerConnection = float64(r.idleRSS) / float64(len(r.members))
	}
	r.mu.Lock()
	rep.LostConnections, rep.FirstLost = r.lost, r.why
	r.mu.Unlock()
	if rep.LostConnections > 0 {
		rep.Problems = append(rep.Problems, fmt.Sprintf("%d connections ended by themselves, the first with: %s", rep.LostConnections, rep.FirstLost))
	}
	rep.AccountCloses = len(rep.Problems) == 0
	return rep
}

// print tells people.
func (rep Report) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s: %d rooms, %d members and %d publishers each, %.1f s\n", rep.Mode, rep.Rooms, rep.Members, rep.Publishers, rep.Seconds)
	if rep.Sent > 0 {
		fmt.Fprintf(w, "  sent %d = acknowledged %d + refused %d + unknown %d\n", rep.Sent, rep.Acknowledged, rep.Refused, rep.Unknown)
		for reason, n := range rep.Refusals {
			fmt.Fprintf(w, "    %s: %d\n", reason, n)
		}
		fmt.Fprintf(w, "  delivered %d of %d: lost %d, duplicated %d, out of order %d, gaps %d\n",
			rep.Delivered, rep.Expected, rep.Lost, rep.Duplicated, rep.OutOfOrder, rep.Gaps)
		fmt.Fprintf(w, "  %.0f acknowledged/s, %.0f delivered/s\n", rep.AckedPerSecond, rep.DeliveredPerSecond)
		printLatency(w, "publish to ack     ", rep.Ack)
		if rep.Delivery.Max > 0 { // not with --read-back
			printLatency(w, "publish to delivery", rep.Delivery)
		}
	}
	if rep.RateLimited > 0 {
		fmt.Fprintf(w, "  slowed by rate limits: %d publishes were put off; raise user_rate and publish_rate of the rooms' policy\n"+
			"    (barrage room policy), or spread the load over more --rooms and --publishers\n", rep.RateLimited)
	}
	if rep.ServerRSS > 0 {
		fmt.Fprintf(w, "  servers: %.2f CPU-s, %.1f MB resident\n", rep.ServerCPUSeconds, float64(rep.ServerRSS)/1e6)
		if rep.Sent > 0 {
			fmt.Fprintf(w, "  %.2f CPU-µs an acknowledged message, %.2f a delivery\n", rep.CPUPerAck, rep.CPUPerDelivery)
		}
		if rep.Mode == "idle" {
			fmt.Fprintf(w, "  %.1f KB resident a connection\n", rep.RSSPerConnection/1e3)
		}
	}
	if rep.Storm != nil {
		fmt.Fprintf(w, "  %d members live again %.0f ms after the cut\n", rep.Storm.Members, rep.Storm.LiveMS)
	}
	if rep.AccountCloses {
		fmt.Fprintln(w, "  the account closes")
		return
	}
	fmt.Fprintf(w, "  THE ACCOUNT DOES NOT CLOSE: %s\n", strings.Join(rep.Problems, "; "))
}

func printLatency(w io.Writer, what string, s ledger.Summary) {
	fmt.Fprintf(w, "  %s  p50 %.2f  p90 %.2f  p99 %.2f  p99.9 %.2f  max %.2f ms\n", what, s.P50, s.P90, s.P99, s.P999, s.Max)
}
