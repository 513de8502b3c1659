package cmd

import (
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/barrage-im/barrage/protocol/cmd/operator"
)

// table is text in columns.
type table struct{ *tabwriter.Writer }

func newTable(w io.Writer, heads ...string) table {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row(heads...)
	return t
}

// row adds a line; empty cells are shown as "-". Edges and other operators
// wrote some of it.
func (t table) row(cells ...string) {
	for i, c := range cells {
		if cells[i] = operator.Printable(c); c == "" {
			cells[i] = "-"
		}
	}
	_, _ = io.WriteString(t, strings.Join(cells, "\t")+"\n") // Flush reports
}

// number is empty for 0.
func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}
