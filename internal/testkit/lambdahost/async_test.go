//go:build unix

package lambdahost_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/lambdahost"
)

type done struct {
	r   lambdahost.Response
	err error
}

func TestFailedAsyncEventIsNotRetried(t *testing.T) {
	t.Parallel()
	ends := make(chan done, 10)
	f := newFunction(t, lambdahost.Config{Done: func(r lambdahost.Response, err error) { ends <- done{r, err} }})
	id, err := f.InvokeAsync(t.Context(), request("fail", "again"))
	if err != nil {
		t.Fatal(err)
	}
	d := <-ends
	_ = functionError(t, d.err, "errorString")
	if d.r.RequestID != id {
		t.Errorf("request id = %s, want %s", d.r.RequestID, id)
	}
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(ends); n != 0 {
		t.Errorf("%d attempts more than 1", n)
	}
}

func TestThrottledAsyncEventRunsLaterOrExpires(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		maxAge time.Duration
		want   error
	}{
		"runs later": {time.Hour, nil},
		"expires":    {time.Millisecond, lambdahost.ErrExpired},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, ends := collect(), make(chan done, 1000)
			f := newFunction(t, lambdahost.Config{
				MaxConcurrency: 1,
				MaxEventAge:    tt.maxAge,
				ThrottleDelay:  func(int) time.Duration { return 5 * time.Millisecond },
				Output:         out.add,
				Done:           func(r lambdahost.Response, err error) { ends <- done{r, err} },
			})
			release := filepath.Join(t.TempDir(), "release")
			if _, err := f.InvokeAsync(t.Context(), request("wait", release)); err != nil {
				t.Fatal(err)
			}
			out.wait(t, "waiting")
			id, err := f.InvokeAsync(t.Context(), request("echo", ""))
			if err != nil {
				t.Fatal(err)
			}
			if d := <-ends; d.r.RequestID != id || !errors.Is(d.err, lambdahost.ErrThrottled) {
				t.Fatalf("first end %+v, want a throttled attempt", d)
			}
			if tt.want == nil {
				touch(t, release)
			}
			for d := range ends {
				if d.r.RequestID == id && !errors.Is(d.err, lambdahost.ErrThrottled) {
					if !errors.Is(d.err, tt.want) {
						t.Errorf("end = %v, want %v", d.err, tt.want)
					}
					break
				}
			}
		})
	}
}

func TestWaitingEventEndsWithItsContextAndWithClose(t *testing.T) {
	t.Parallel()
	out, ends := collect(), make(chan done, 10)
	waiting := make(chan struct{}, 2)
	f := newFunction(t, lambdahost.Config{
		MaxConcurrency: 1,
		ThrottleDelay: func(int) time.Duration {
			waiting <- struct{}{}
			return time.Hour / 2
		},
		Output: out.add,
		Done:   func(r lambdahost.Response, err error) { ends <- done{r, err} },
	})
	release := filepath.Join(t.TempDir(), "release")
	busy, err := f.InvokeAsync(t.Context(), request("wait", release))
	if err != nil {
		t.Fatal(err)
	}
	out.wait(t, "waiting")
	ctx, cancel := context.WithCancel(t.Context())
	if _, err = f.InvokeAsync(ctx, request("echo", "")); err != nil {
		t.Fatal(err)
	}
	<-waiting
	cancel()
	if d := <-ends; !errors.Is(d.err, lambdahost.ErrThrottled) {
		t.Fatalf("end = %+v, want the throttled attempt", d)
	}
	if d := <-ends; !errors.Is(d.err, context.Canceled) {
		t.Errorf("end = %v, want %v", d.err, context.Canceled)
	}
	id, err := f.InvokeAsync(t.Context(), request("echo", ""))
	if err != nil {
		t.Fatal(err)
	}
	<-waiting
	touch(t, release)
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := map[string]error{}
	for range 3 {
		d := <-ends
		got[d.r.RequestID] = errors.Join(got[d.r.RequestID], d.err)
	}
	if got[busy] != nil || !errors.Is(got[id], lambdahost.ErrThrottled) || !errors.Is(got[id], lambdahost.ErrClosed) {
		t.Errorf("ends %v, want the running one done and the waiting one dropped with %v", got, lambdahost.ErrClosed)
	}
	if _, err := f.InvokeAsync(t.Context(), nil); !errors.Is(err, lambdahost.ErrClosed) {
		t.Errorf("event after close: %v, want %v", err, lambdahost.ErrClosed)
	}
}
