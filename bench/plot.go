package main

import (
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// plot draws single writes: one line a system, from 1 to 1,024 in flight.
func (r Report) plot(file string) error {
	drawing := plot.New()
	drawing.Title.Text = "single writes of 256 bytes, 1 to 1,024 in flight"
	drawing.X.Label.Text, drawing.Y.Label.Text = "acknowledged, 1/s", "p99, ms"
	drawing.Y.Scale, drawing.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	drawing.Add(plotter.NewGrid())
	var lines []any
	for _, system := range r.systems {
		var points plotter.XYs
		for _, work := range r.works {
			if !strings.HasPrefix(work.ID, "unary-") {
				continue
			}
			rates := r.results.rounds(Figure{system, work.ID, "rate"})
			latencies := r.results.rounds(Figure{system, work.ID, "p99"})
			if len(rates) > 0 {
				points = append(points, plotter.XY{X: median(rates), Y: median(latencies)})
			}
		}
		if len(points) > 0 {
			lines = append(lines, system, points)
		}
	}
	if err := plotutil.AddLinePoints(drawing, lines...); err != nil {
		return err
	}
	return drawing.Save(18*vg.Centimeter, 11*vg.Centimeter, file)
}
