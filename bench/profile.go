//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// profileFor is how long a processor profile runs. It begins a second after the relay was started, so that the
// start is not in it.
const profileFor = 4 * time.Second

// freeAddress returns a loopback address with a port that is not in use.
func freeAddress(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// profile writes a processor profile of the relay, over four seconds, to cpu.pprof and then one of its
// allocations to allocs.pprof, both in t.dir, for `go tool pprof`. It needs the program bench/relay, and prints
// errors instead of returning them. It ends early when ctx does.
func (t *trial) profile(ctx context.Context) {
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return
	}
	seconds := int(profileFor / time.Second)
	err := errors.Join(
		t.save(ctx, fmt.Sprintf("profile?seconds=%d", seconds), "cpu.pprof"),
		t.save(ctx, "allocs", "allocs.pprof"))
	if err != nil && ctx.Err() == nil {
		_, _ = fmt.Fprintln(os.Stderr, "profile:", err)
	}
}

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
