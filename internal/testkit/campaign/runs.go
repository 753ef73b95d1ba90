package campaign

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Result is what became of one run.
type Result interface {
	// Line is what is printed of the run, each line with its newline: one line when the run
	// is OK, and more that explain the fault when it is not.
	Line() string
}

// Runs calls run n times, at most parallel of the calls at the same time, prints the Line
// of each result to out, and returns the results by number. run gets the number of its run,
// from 0, and that of its worker, from 0 to parallel-1: no two runs of one worker overlap.
// After an error of a run, or the end of ctx, the context of the others ends and no more
// start; Runs then returns the results of the runs that ended before, and the errors.
func Runs[R Result](ctx context.Context, n, parallel int, out io.Writer, run func(ctx context.Context, worker, number int) (R, error)) ([]R, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		mu      sync.Mutex
		results = make([]*R, n)
		errs    []error
		workers sync.WaitGroup
	)
	one := func(worker, number int) {
		result, err := run(ctx, worker, number)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			err = context.Cause(ctx) // A run that was cut short proves nothing.
		}
		if err != nil {
			cancel()
			errs = append(errs, err)
			return
		}
		results[number] = &result
		_, _ = fmt.Fprint(out, result.Line()) // The exit code does not depend on the terminal.
	}
	numbers := make(chan int)
	for worker := range min(parallel, n) {
		workers.Go(func() {
			for number := range numbers {
				one(worker, number)
			}
		})
	}
	for number := range n {
		select {
		case numbers <- number:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(numbers)
	workers.Wait()
	var ended []R
	for _, r := range results {
		if r != nil {
			ended = append(ended, *r)
		}
	}
	if len(ended) < n && len(errs) == 0 {
		errs = append(errs, context.Cause(ctx))
	}
	return ended, errors.Join(errs...)
}

// Quantile returns the q-quantile, q from 0 to 1, of durations that are sorted from the shortest on. Between two of
// them it returns the shorter. It returns 0 when there are none.
func Quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(q*float64(len(sorted)-1))]
}
