//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// profile writes a processor profile of the relay, over four seconds, to cpu.pprof and then one of its
// allocations to allocs.pprof, both in t.dir, for `go tool pprof`. It waits a second first, so that the start of the
// relay is in neither. It needs the program rig.Tuned, and prints errors instead of returning them. It ends early when
// ctx does.
func (t *trial) profile(ctx context.Context) {
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return
	}
	err := errors.Join(t.save(ctx, "profile?seconds=4", "cpu.pprof"), t.save(ctx, "allocs", "allocs.pprof"))
	if err != nil && ctx.Err() == nil {
		_, _ = fmt.Fprintln(os.Stderr, "profile:", err)
	}
}

// save writes what the relay serves below /debug/pprof/ under the name what to the file name in t.dir.
func (t *trial) save(ctx context.Context, what, name string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.pprof+"/debug/pprof/"+what, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", what, response.Status)
	}
	f, err := os.Create(t.path(name))
	if err != nil {
		return err
	}
	_, err = io.Copy(f, response.Body)
	return errors.Join(err, f.Close())
}
