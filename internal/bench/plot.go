package bench

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"math"
	"slices"
)

// Plot draws what processor time per million records – of latency and idle the share of a core – and peak memory come to as
// one size grows, as SVG: a chart of each for every job, compression and sink, a line for each side. The axis of the size is
// logarithmic: what grows with the logarithm is a straight line there, what grows in proportion bends upwards.
func (r *Report) Plot(out io.Writer, size string) error {
	w := new(bytes.Buffer)
	type group struct {
		name   string
		series []*Series
	}
	var groups []*group
	for _, s := range r.Series {
		name := s.Job + ", " + s.Compression + ", " + s.Sink
		if len(groups) == 0 || groups[len(groups)-1].name != name {
			groups = append(groups, &group{name: name})
		}
		g := groups[len(groups)-1]
		g.series = append(g.series, s)
	}
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", 2*chartWidth, len(groups)*chartHeight)
	fmt.Fprintln(w, `<rect width="100%" height="100%" fill="white"/>`)
	for i, g := range groups {
		cpu := "CPU-seconds per million records"
		of := func(r *Round) float64 { return r.CPU }
		if g.series[0].Seconds > 0 {
			cpu = "% of a core"
			of = func(r *Round) float64 { return r.Core }
		}
		drawChart(w, 0, i*chartHeight, g.name+": "+cpu, size, g.series, of)
		drawChart(w, chartWidth, i*chartHeight, g.name+": peak MiB", size, g.series, func(r *Round) float64 { return float64(sumOf(r.Programs).Peak) / (1 << 20) })
	}
	fmt.Fprintln(w, "</svg>")
	_, err := w.WriteTo(out)
	return err
}

const (
	chartWidth, chartHeight = 520, 300
	marginLeft, marginTop   = 60, 40
	plotWidth, plotHeight   = chartWidth - marginLeft - 130, chartHeight - marginTop - 50
)

// colours of the sides, in their order; more sides than that there are not.
var colours = []string{"#888888", "#bb7722", "#1155aa"}

func drawChart(w io.Writer, x, y int, title, size string, series []*Series, of func(*Round) float64) {
	most, xs := 0.0, []float64{}
	for _, s := range series {
		xs = append(xs, math.Log(float64(*s.size(size))))
		for _, side := range s.Sides {
			most = max(most, of(side.typical()))
		}
	}
	least, span := slices.Min(xs), slices.Max(xs)-slices.Min(xs)
	if span == 0 {
		span = 1
	}
	if most == 0 {
		most = 1
	}
	atX := func(v float64) float64 { return marginLeft + (v-least)/span*plotWidth }
	atY := func(v float64) float64 { return marginTop + plotHeight*(1-v/most) }
	fmt.Fprintf(w, `<g transform="translate(%d,%d)"><text x="%d" y="22" font-weight="bold">%s</text>`+"\n", x, y, marginLeft, html.EscapeString(title))
	for i := range 5 {
		v := most * float64(i) / 4
		fmt.Fprintf(w, `<path d="M%d %.1fh%d" stroke="#dddddd"/><text x="%d" y="%.1f" text-anchor="end">%.3g</text>`+"\n",
			marginLeft, atY(v), plotWidth, marginLeft-6, atY(v)+4, v)
	}
	for i, s := range series {
		fmt.Fprintf(w, `<text x="%.1f" y="%d" text-anchor="middle">%d</text>`+"\n", atX(xs[i]), marginTop+plotHeight+18, *s.size(size))
	}
	fmt.Fprintf(w, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", marginLeft+plotWidth/2, marginTop+plotHeight+36, size)
	for k, side := range series[0].Sides {
		points := ""
		colour := colours[k%len(colours)]
		if side.Name == Windrow {
			colour = colours[len(colours)-1]
		}
		for i, s := range series {
			px, py := atX(xs[i]), atY(of(s.Sides[k].typical()))
			points += fmt.Sprintf("%.1f,%.1f ", px, py)
			fmt.Fprintf(w, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", px, py, colour)
		}
		fmt.Fprintf(w, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`, points, colour)
		fmt.Fprintf(w, `<text x="%d" y="%d" fill="%s">%s</text>`+"\n", marginLeft+plotWidth+8, marginTop+14+16*k, colour, html.EscapeString(side.Name))
	}
	fmt.Fprintln(w, "</g>")
}
