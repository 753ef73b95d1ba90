// Command plot draws the results of the benchmark, as SVG beside their JSON. It
// is a module of its own, so that the product does not depend on what draws.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// point is one element of a result's series, as command bench writes it.
type point struct {
	Seconds float64 `json:"seconds"`
	FromDue struct {
		P50 float64 `json:"p50_ms"`
		P99 float64 `json:"p99_ms"`
	} `json:"from_due"`
	FetchMS  float64 `json:"fetch_ms"`
	Dead     float64 `json:"dead_tuples"`
	MemoryMB float64 `json:"relay_mb"`
	WALMB    float64 `json:"wal_mb"`
}

// result is what the diagrams need of one run in results.json, as the command bench writes it.
type result struct {
	Name       string  `json:"name"`
	Round      int     `json:"round"`
	Rate       float64 `json:"rate"`
	Achieved   float64 `json:"events_per_second"`
	FromCommit struct {
		P99 float64 `json:"p99_ms"`
	} `json:"from_commit"`
	Series []point `json:"series"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: plot results.json")
		os.Exit(2)
	}
	if err := draw(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "plot:", err)
		os.Exit(1)
	}
}

// draw draws the results in the file path: for each run with a series its fetch time, dead rows, memory, WAL and, of a
// load, latency over time, and for all loads together their latency by rate. The diagrams are written beside path.
func draw(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var report struct {
		Results []result `json:"results"`
	}
	if err := json.Unmarshal(b, &report); err != nil {
		return err
	}
	folder := filepath.Dir(path)
	var rates plotter.XYs
	for _, r := range report.Results {
		if r.Rate > 0 {
			rates = append(rates, plotter.XY{X: r.Achieved, Y: r.FromCommit.P99})
		}
		if len(r.Series) < 2 {
			continue
		}
		base := filepath.Join(folder, fmt.Sprintf("%s-%d-", r.Name, r.Round))
		over := func(y func(point) float64) plotter.XYs {
			line := make(plotter.XYs, len(r.Series))
			for i, p := range r.Series {
				line[i] = plotter.XY{X: p.Seconds, Y: y(p)}
			}
			return line
		}
		fetch, dead := over(func(p point) float64 { return p.FetchMS }), over(func(p point) float64 { return p.Dead })
		memory := over(func(p point) float64 { return p.MemoryMB })
		wal := over(func(p point) float64 { return p.WALMB })
		if err := errors.Join(
			lines(base+"fetch.svg", r.Name, "seconds", "ms per fetch", "mean", fetch),
			lines(base+"dead.svg", r.Name, "seconds", "dead rows", "outbox.events", dead),
			lines(base+"memory.svg", r.Name, "seconds", "MB", "relay", memory),
			lines(base+"wal.svg", r.Name, "seconds", "MB of WAL since the point before", "all of the server", wal),
		); err != nil {
			return err
		}
		if r.Rate == 0 {
			continue
		}
		p50, p99 := over(func(p point) float64 { return p.FromDue.P50 }), over(func(p point) float64 { return p.FromDue.P99 })
		if err := lines(base+"latency.svg", r.Name, "seconds", "ms from due", "p50", p50, "p99", p99); err != nil {
			return err
		}
	}
	if len(rates) == 0 {
		return nil
	}
	p := labelled("live loads", "events/s", "p99 ms from commit")
	if err := plotutil.AddScatters(p, "runs", rates); err != nil {
		return err
	}
	return p.Save(8*vg.Inch, 4*vg.Inch, filepath.Join(folder, "rate-p99.svg"))
}

// labelled returns an empty diagram with a grid, and axes that begin at 0.
func labelled(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.X.Min, p.Y.Min = 0, 0
	p.Add(plotter.NewGrid())
	return p
}

// lines writes a diagram as SVG to path, with a curve for each pair: pairs are a name, its points, the next
// name, and so on. x and y are the texts of the axes.
func lines(path, title, x, y string, pairs ...any) error {
	p := labelled(title, x, y)
	if err := plotutil.AddLines(p, pairs...); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return p.Save(8*vg.Inch, 4*vg.Inch, path)
}
