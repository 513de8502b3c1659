// Package plot draws what the predictor's tools measured. It is the door of
// gonum/plot.
package plot

import (
	"bytes"
	"fmt"
	"image/color"
	"io"
	"os"
	"path/filepath"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Sizes of a picture.
const (
	width       = 10 * vg.Inch
	panelHeight = 2.6 * vg.Inch
	stripHeight = 0.9 * vg.Inch
	pngDPI      = 110
)

// Colours that people with any colour vision tell apart (Okabe and Ito 2008).
var (
	black  = color.RGBA{0x22, 0x22, 0x22, 0xff}
	blue   = color.RGBA{0x00, 0x72, 0xb2, 0xff}
	orange = color.RGBA{0xd5, 0x5e, 0x00, 0xff}
	green  = color.RGBA{0x00, 0x9e, 0x73, 0xff}
	grey   = color.RGBA{0x99, 0x99, 0x99, 0xff}
)

// pale is a colour mixed with white: share 1 leaves it, 0 is white.
func pale(c color.RGBA, share float64) color.Color {
	mix := func(v uint8) uint8 { return uint8(255 - share*float64(255-v)) }
	return color.RGBA{mix(c.R), mix(c.G), mix(c.B), 0xff}
}

// CheckName refuses a file that is neither SVG nor PNG; "" is no file.
func CheckName(file string) error {
	switch filepath.Ext(file) {
	case ".svg", ".png":
		return nil
	}
	if file == "" {
		return nil
	}
	return fmt.Errorf("plot %.80q: name a file that ends in .svg or .png", file)
}

// A panel is one of the plots that lie below each other.
type panel struct {
	*plot.Plot

	height vg.Length
}

func newPanel(title string, height vg.Length) panel {
	p := plot.New()
	p.Title.Text = title
	p.Title.TextStyle.Font = sans(10)
	p.X.Label.TextStyle.Font, p.Y.Label.TextStyle.Font = sans(9), sans(9)
	p.X.Tick.Label.Font, p.Y.Tick.Label.Font = sans(8), sans(8)
	p.Legend.TextStyle.Font = sans(8)
	p.Legend.Top, p.Legend.Left = true, true
	p.BackgroundColor = color.White
	return panel{p, height}
}

func sans(size vg.Length) font.Font {
	return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
}

// write draws panels below each other, their axes aligned.
func write(file string, panels []panel) error {
	if err := CheckName(file); err != nil {
		return err
	}
	var total vg.Length
	column := make([][]*plot.Plot, len(panels))
	for i, p := range panels {
		total += p.height
		column[i] = []*plot.Plot{p.Plot}
	}
	var canvas interface {
		vg.CanvasSizer
		io.WriterTo
	}
	if filepath.Ext(file) == ".svg" {
		canvas = vgsvg.New(width, total)
	} else {
		canvas = vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(width, total), vgimg.UseDPI(pngDPI), vgimg.UseBackgroundColor(color.White))}
	}
	left := draw.New(canvas)
	cells := align(panels, left)
	for i, p := range panels {
		p.Draw(cells[i])
	}
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return fmt.Errorf("draw %s: %w", file, err)
	}
	return os.WriteFile(file, out.Bytes(), 0o644) //nolint:gosec // a picture for everybody
}

// align cuts the canvas into the panels' heights, and shifts their left edges so
// that the vertical axes stand below each other.
func align(panels []panel, all draw.Canvas) []draw.Canvas {
	cells := make([]draw.Canvas, len(panels))
	var widest vg.Length
	lefts := make([]vg.Length, len(panels))
	top := all.Max.Y
	for i, p := range panels {
		c := all
		c.Max.Y, c.Min.Y = top, top-p.height
		top -= p.height
		cells[i] = draw.Crop(c, 6, -10, 4, -4)
		lefts[i] = p.DataCanvas(cells[i]).Min.X
		widest = max(widest, lefts[i])
	}
	for i := range cells {
		cells[i] = draw.Crop(cells[i], widest-lefts[i], 0, 0, 0)
	}
	return cells
}

// clock labels an axis of samples with their times.
type clock struct {
	start time.Time
	step  time.Duration
}

// Ticks gives about eight, at round times.
func (c clock) Ticks(lo, hi float64) (ticks []plot.Tick) {
	span := time.Duration((hi - lo) * float64(c.step))
	every := time.Minute
	for _, d := range []time.Duration{5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, day, 2 * day, 7 * day, 14 * day, 28 * day, 84 * day} {
		if span/every <= 9 {
			break
		}
		every = d
	}
	layout := "15:04"
	switch {
	case every >= day:
		layout = "2 Jan"
	case span > day:
		layout = "2 Jan 15:04"
	}
	first := c.start.Add(time.Duration(lo * float64(c.step))).Truncate(every)
	for t := first; ; t = t.Add(every) {
		x := float64(t.Sub(c.start)) / float64(c.step)
		if x > hi {
			return ticks
		}
		if x >= lo {
			ticks = append(ticks, plot.Tick{Value: x, Label: t.Format(layout)})
		}
	}
}

const day = 24 * time.Hour

// line is y from sample first on; samples that are missing leave a gap.
func (p panel) line(legend string, first int, y []float64, c color.Color, thick vg.Length) {
	var points plotter.XYs
	flush := func() {
		if len(points) > 1 {
			l := plotter.Line{XYs: points, LineStyle: draw.LineStyle{Color: c, Width: thick}}
			p.Add(&l)
			if legend != "" {
				p.Legend.Add(legend, &l)
				legend = ""
			}
		}
		points = nil
	}
	for i, v := range y {
		if v != v { //nolint:gocritic // NaN
			flush()
			continue
		}
		points = append(points, plotter.XY{X: float64(first + i), Y: v})
	}
	flush()
}

// band is the area between two lines.
func (p panel) band(legend string, first int, lo, hi []float64, c color.Color) {
	points := make(plotter.XYs, 0, 2*len(lo))
	for i, v := range lo {
		points = append(points, plotter.XY{X: float64(first + i), Y: v})
	}
	for i := len(hi) - 1; i >= 0; i-- {
		points = append(points, plotter.XY{X: float64(first + i), Y: hi[i]})
	}
	area := &plotter.Polygon{XYs: []plotter.XYs{points}, Color: c, LineStyle: draw.LineStyle{Color: color.Transparent}}
	p.Add(area)
	if legend != "" {
		p.Legend.Add(legend, area)
	}
}
