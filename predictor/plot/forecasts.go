package plot

import (
	"fmt"
	"math"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"

	"github.com/barrage-im/barrage/predictor/emd"
)

// A Fan is a forecast with its quantiles.
type Fan struct {
	Start     int         // the sample that its first step is of
	Point     []float64   // by step
	Quantiles [][]float64 // step × level
}

// ForecastData is a series and what was forecast of it.
type ForecastData struct {
	Title  string
	Start  time.Time
	Step   time.Duration
	Values []float64
	From   int       // the first sample shown
	Levels []float64 // of the fans' quantiles, ascending
	Fans   []Fan
	Window int // samples before the last fan that are decomposed
}

// Forecasts draws the series with the fans, and below the modes of the window
// before the last fan: what an EMD-ARIMA would see there.
func Forecasts(file string, d ForecastData) error {
	main := newPanel(d.Title, panelHeight*1.3)
	main.X.Tick.Marker = clock{d.Start, d.Step}
	main.Y.Min = 0
	for i, f := range d.Fans {
		legend := func(s string) string {
			if i > 0 {
				return ""
			}
			return s
		}
		n := len(d.Levels)
		for k := range n / 2 {
			lo, hi := column(f.Quantiles, k), column(f.Quantiles, n-1-k)
			share := 0.15 + 0.5*float64(k)/float64(n/2) // the inner ones lie over the outer
			main.band(legend(fmt.Sprintf("%.3g %%", 100*(d.Levels[n-1-k]-d.Levels[k]))), f.Start, lo, hi, pale(orange, share))
		}
		main.line(legend("forecast"), f.Start, f.Point, orange, vg.Points(1.3))
	}
	last := d.Fans[len(d.Fans)-1]
	end := min(len(d.Values), last.Start+len(last.Point))
	main.line("load", d.From, d.Values[d.From:end], black, vg.Points(0.8))
	main.X.Min, main.X.Max = float64(d.From), float64(end)
	main.Y.Max *= 1.25 // room for the legend
	panels := []panel{main}
	modes, err := decompose(d, last.Start)
	if err != nil {
		return err
	}
	return write(file, append(panels, modes...))
}

func decompose(d ForecastData, origin int) (panels []panel, err error) {
	from := max(0, origin-d.Window)
	window := make([]float64, 0, d.Window)
	for _, v := range d.Values[from:origin] {
		if math.IsNaN(v) && len(window) > 0 {
			v = window[len(window)-1]
		}
		if !math.IsNaN(v) {
			window = append(window, v)
		}
	}
	modes, residue, err := emd.Decompose(window, emd.Options{})
	if err != nil {
		return nil, fmt.Errorf("decompose: %w", err)
	}
	add := func(title string, y []float64) {
		p := newPanel("", stripHeight)
		p.Y.Label.Text = title
		p.X.Tick.Marker = plot.ConstantTicks(nil)
		p.Y.Tick.Marker = few{}
		p.line("", origin-len(y), y, blue, vg.Points(0.7))
		p.X.Min, p.X.Max = float64(origin-len(window)), float64(origin)
		panels = append(panels, p)
	}
	for i, m := range modes {
		add(fmt.Sprintf("mode %d", i+1), m)
	}
	add("residue", residue)
	panels[0].Title.Text = fmt.Sprintf("modes of the %d samples before the last origin", len(window))
	panels[0].height += 0.25 * vg.Inch
	bottom := panels[len(panels)-1]
	bottom.X.Tick.Marker = clock{d.Start, d.Step}
	panels[len(panels)-1].height += 0.2 * vg.Inch
	return panels, nil
}

func column(rows [][]float64, k int) []float64 {
	out := make([]float64, len(rows))
	for i, r := range rows {
		out[i] = r[k]
	}
	return out
}

// few labels the ends of an axis only.
type few struct{}

func (few) Ticks(lo, hi float64) []plot.Tick {
	return []plot.Tick{{Value: lo, Label: fmt.Sprintf("%.3g", lo)}, {Value: hi, Label: fmt.Sprintf("%.3g", hi)}}
}
