package cmd

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// sheet is one table of the report.
type sheet struct {
	title, note string
	heads       []string
	rows        [][]string
}

func (r *benchResult) write(w io.Writer, format string) error {
	if format == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s. %s.", r.Machine, r.Time.Format("2006-01-02"))
	if r.Busy != nil && r.Stolen != nil {
		fmt.Fprintf(&b, " Processors busy %.0f %% of the time; other guests of the machine took %.1f %%.", *r.Busy, *r.Stolen)
	}
	fmt.Fprintf(&b, "\n%d messages of %.0f bytes on average, %g %% of them with a listed word. MB are 10^6 bytes, times are processor time.\n",
		r.Messages, float64(r.Bytes)/float64(r.Messages), 100*benchDirty)
	for _, sh := range []sheet{r.speed(), r.weight(), r.latencies(), r.worst(), r.evasions()} {
		if format == "markdown" {
			sh.markdown(&b)
		} else {
			sh.plain(&b)
		}
	}
	fmt.Fprintf(&b, "\nFalse hits: %d of %d ordinary messages (%.3f %%), by the %s.\n",
		r.False.Hits, r.False.Messages, 100*float64(r.False.Hits)/float64(r.False.Messages), r.False.List)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *benchResult) speed() sheet {
	sh := sheet{
		title: "Speed on one processor",
		note: "folded: folding and spans included; cloudflare: behind our folding. dfa: no folding, no longest spans. decode: reading UTF-8 alone.\n" +
			"Best of many passes, the engines in turns. The ratios are of speeds: above 1, folded is the faster one.",
		heads: []string{"words", "engine", "MB/s", "ns a message", "verdict, ns", "allocations", "matches", "folded to it"},
	}
	for i := range r.Lists {
		l := &r.Lists[i]
		folded := l.engine(benchFolded)
		for _, c := range l.Engines {
			row := []string{fmt.Sprint(l.Words), c.Engine}
			if c.Refused != "" {
				sh.rows = append(sh.rows, append(row, "refused: "+c.Refused, "", "", "", "", ""))
				continue
			}
			judge, hits := "", fmt.Sprint(c.Hits)
			if c.filter != nil {
				judge = fmt.Sprintf("%.0f", c.JudgeNS)
			}
			if c.Engine == benchDecode {
				hits = ""
			}
			sh.rows = append(sh.rows, append(row, fmt.Sprintf("%.0f", c.MBs), fmt.Sprintf("%.0f", c.Nanoseconds), judge,
				fmt.Sprintf("%.3f", c.Allocations), hits, fmt.Sprintf("%.2f", folded.MBs/c.MBs)))
		}
	}
	return sh
}

func (r *benchResult) weight() sheet {
	sh := sheet{
		title: "Memory and building",
		note: "Heap: what the runtime has more while it is there. Build: garbage collection included. Collection: how much more a garbage\n" +
			"collection takes while it is there.",
		heads: []string{"words", "engine", "memory", "heap", "build, ms", "collection, ms", "chosen by size"},
	}
	for i := range r.Lists {
		l := &r.Lists[i]
		for _, c := range l.Engines {
			chosen := ""
			if c.Engine == l.Chosen {
				chosen = "yes"
			}
			row := []string{fmt.Sprint(l.Words), c.Engine, megabytes(c.Bytes)}
			switch {
			case c.Engine == benchDecode:
			case c.Refused != "" && c.Bytes > 0:
				row[2] += " by arithmetic"
				sh.rows = append(sh.rows, append(row, "refused: "+c.Refused, "", "", chosen))
			case c.Refused != "":
				sh.rows = append(sh.rows, []string{row[0], row[1], "", "refused: " + c.Refused, "", "", chosen})
			default:
				sh.rows = append(sh.rows, append(row, megabytes(int(c.Heap)), fmt.Sprintf("%.1f", c.BuildMS), fmt.Sprintf("%.2f", c.GCMS), chosen))
			}
		}
	}
	return sh
}

func (r *benchResult) latencies() sheet {
	sh := sheet{
		title: "Single messages, while nothing else goes on and while a large list is built",
		note:  "Of folded, in µs of the clock on the wall, the clock's own time included; the calmest of several rounds.",
		heads: []string{"words", "median idle", "99.9th percentile idle", "median building", "99.9th percentile building", "ratio of the latter"},
	}
	for i := range r.Lists {
		l := &r.Lists[i].Latency
		sh.rows = append(sh.rows, []string{
			fmt.Sprint(r.Lists[i].Words), fmt.Sprintf("%.2f", l.Idle.P50), fmt.Sprintf("%.2f", l.Idle.P999),
			fmt.Sprintf("%.2f", l.Reload.P50), fmt.Sprintf("%.2f", l.Reload.P999), fmt.Sprintf("%.2f", l.Reload.P999/l.Idle.P999),
		})
	}
	return sh
}

func (r *benchResult) worst() sheet {
	sh := sheet{
		title: "Texts made to be slow",
		note:  "What a byte costs, as a multiple of what it costs in ordinary chat; of short texts and long ones the worse.",
		heads: []string{"text"},
	}
	at := map[string]int{}
	for i := range r.Lists {
		sh.heads = append(sh.heads, fmt.Sprintf("%d words", r.Lists[i].Words))
		for _, w := range r.Lists[i].Worst {
			n, ok := at[w.Family]
			if !ok {
				n = len(sh.rows)
				at[w.Family] = n
				sh.rows = append(sh.rows, append([]string{w.Family}, make([]string, len(r.Lists))...))
			}
			sh.rows[n][i+1] = fmt.Sprintf("%.2f", w.Ratio)
		}
	}
	return sh
}

func (r *benchResult) evasions() sheet {
	sh := sheet{
		title: "Evasions",
		note:  "Of " + r.Evaded + ", each word in a sentence.",
		heads: []string{"written", "one to one", "words", "found"},
	}
	for _, e := range r.Evasions {
		oneToOne := ""
		if e.OneToOne {
			oneToOne = "yes"
		}
		sh.rows = append(sh.rows, []string{e.Name, oneToOne, fmt.Sprint(e.Tried), fmt.Sprintf("%.2f %%", e.percent())})
	}
	return sh
}

func (sh sheet) plain(b *strings.Builder) {
	fmt.Fprintf(b, "\n%s\n", sh.title)
	t := newTable(b, sh.heads...)
	for _, row := range sh.rows {
		t.row(row...)
	}
	_ = t.Flush() // a Builder takes everything
	fmt.Fprintln(b, sh.note)
}

func (sh sheet) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "\n### %s\n\n| %s |\n|%s\n", sh.title, strings.Join(sh.heads, " | "), strings.Repeat("---|", len(sh.heads)))
	for _, row := range sh.rows {
		cells := make([]string, len(row))
		for i, c := range row {
			cells[i] = strings.ReplaceAll(c, "|", `\|`)
		}
		fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
	}
	fmt.Fprintf(b, "\n%s\n", sh.note)
}

func megabytes(n int) string {
	switch mb := float64(n) / 1e6; {
	case mb >= 100:
		return fmt.Sprintf("%.0f MB", mb)
	case mb >= 0.1 || n == 0:
		return fmt.Sprintf("%.1f MB", mb)
	default:
		return fmt.Sprintf("%.3f MB", mb)
	}
}
