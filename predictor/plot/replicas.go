package plot

import (
	"image/color"
	"time"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// A Point of a frontier: the cost over the oracle's, and the share of minutes in
// which the load was above the capacity, in percent.
type Point struct{ Cost, Violated float64 }

// ReplicaData is a replay of autoscalers.
type ReplicaData struct {
	Title     string
	Start     time.Time
	Step      time.Duration // of Need and Ready
	Need      []float64     // load in pods
	Names     []string      // of the policies
	Ready     [][]float64   // policy × step: pods that serve
	Frontiers [][]Point     // policy × setting
}

// Replicas draws the pods that each policy had beside those that the load
// needed, and what every risk costs.
func Replicas(file string, d ReplicaData) error {
	pods := newPanel(d.Title, panelHeight*1.3)
	pods.X.Tick.Marker = clock{d.Start, d.Step}
	pods.Y.Label.Text = "pods"
	pods.Y.Min = 0
	colors := []color.RGBA{orange, blue, green, grey}
	for i, ready := range d.Ready {
		pods.line(d.Names[i]+": ready", 0, ready, colors[i%len(colors)], vg.Points(1))
	}
	pods.line("load", 0, d.Need, black, vg.Points(0.6))
	pods.X.Min, pods.X.Max = 0, float64(len(d.Need))

	cost := newPanel("what it costs", panelHeight)
	cost.X.Label.Text = "minutes with too few pods, %"
	cost.Y.Label.Text = "pod hours / oracle's"
	cost.Legend.Left = false
	for i, f := range d.Frontiers {
		points := make(plotter.XYs, len(f))
		for k, p := range f {
			points[k] = plotter.XY{X: p.Violated, Y: p.Cost}
		}
		line, marks, err := plotter.NewLinePoints(points)
		if err != nil {
			return err
		}
		c := colors[i%len(colors)]
		line.LineStyle = draw.LineStyle{Color: c, Width: vg.Points(1)}
		marks.GlyphStyle = draw.GlyphStyle{Color: c, Radius: 2, Shape: draw.CircleGlyph{}}
		cost.Add(line, marks)
		cost.Legend.Add(d.Names[i], line, marks)
	}
	cost.X.Min = 0
	cost.X.Max = min(cost.X.Max, shownViolations)
	return write(file, []panel{pods, cost})
}

// shownViolations, in percent: beyond, nobody would run it.
const shownViolations = 5
