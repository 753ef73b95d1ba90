package awsfake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/fakebroker"
)

// Config sets up a Server. The zero value is ready to use.
type Config struct {
	// Clock is the time that visibility, deduplication, delays and long polls go by. Defaults to a new
	// [ShiftClock].
	Clock Clock
	// Region and Account are parts of ARNs, and Account of queue URLs. They default to "us-east-1" and "000000000000".
	Region  string
	Account string
	// DeduplicationWindow is how long a deduplication id is remembered. Defaults to the 5 minutes of AWS.
	DeduplicationWindow time.Duration
	// History says how much is remembered of accepted messages. Defaults to HistoryFull.
	History HistoryMode
	// Discard keeps no message for consumers: a queue accepts, deduplicates and stays empty.
	Discard bool
	// OrderAttribute is the name of the message attribute whose number must grow within a message group:
	// [Tally] counts where it does not. Defaults to "sequence".
	OrderAttribute string
	// OnAccepted is called for each acceptance, a suppressed one too, in order, one call at a time, with body
	// and attributes in every mode of History. It must be quick, and must not call the server, which would lock
	// up. Nil is for no call.
	OnAccepted func(Accepted)
}

// Server is the fake of SNS and SQS, made by [New]. Its methods are safe for concurrent use.
type Server struct {
	cfg     Config
	broker  *fakebroker.Broker
	history *history
	faults  *faults
	http    *http.Server

	mu sync.Mutex
	// secrets has, by name, the current value of each secret and, behind it, the previous one, "" when there was
	// none.
	secrets  map[string][2]string
	calls    map[string]int64 // by operation
	listener net.Listener
	url      string
	done     chan struct{}
	closed   chan struct{}
	serveErr error
}

// New returns a server with the defaults for fields of c that are zero. It serves after [Server.Start].
func New(c Config) *Server {
	if c.Clock == nil {
		c.Clock = NewShiftClock()
	}
	c.Region, c.Account = cmp.Or(c.Region, "us-east-1"), cmp.Or(c.Account, "000000000000")
	c.DeduplicationWindow = cmp.Or(c.DeduplicationWindow, 5*time.Minute)
	c.OrderAttribute = cmp.Or(c.OrderAttribute, "sequence")
	s := &Server{
		cfg: c, history: &history{cfg: c, tallies: map[[2]string]*tally{}}, faults: &faults{clock: c.Clock},
		secrets: map[string][2]string{}, calls: map[string]int64{}, closed: make(chan struct{}),
	}
	s.broker = fakebroker.New(fakebroker.Config{
		Clock: c.Clock, Region: c.Region, Account: c.Account, DedupWindow: c.DeduplicationWindow,
		Discard: c.Discard, Observe: s.history.observe, Lag: s.faults.lag, URL: s.URL,
	})
	s.http = &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: 30 * time.Second}
	return s
}

// Start listens on addr, such as "127.0.0.1:0", and serves in the background until Close. It fails when the
// server was started before or cannot listen. After Close, requests are not served any more.
func (s *Server) Start(addr string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		return errors.New("start: already started")
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	s.listener, s.done = l, make(chan struct{})
	s.url = "http://" + l.Addr().String()
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.mu.Lock()
			s.serveErr = err
			s.mu.Unlock()
		}
	}()
	return nil
}

// URL returns the server's address, such as "http://127.0.0.1:4566", for the BaseEndpoint of an SDK client. It is empty
// before Start.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.url
}

// Region returns the region that ARNs name.
func (s *Server) Region() string { return s.cfg.Region }

// Advance moves the clock forward by d; 0 or less is ignored. It panics when Config.Clock is not a
// [ShiftClock].
func (s *Server) Advance(d time.Duration) {
	c, ok := s.cfg.Clock.(*ShiftClock)
	if !ok {
		panic("awsfake: Advance needs a ShiftClock")
	}
	c.Advance(d)
}

// Reset forgets all queues, topics, secrets, faults, and the history with its tallies. The clock and the counts
// of calls go on.
func (s *Server) Reset() {
	s.broker.Reset()
	s.mu.Lock()
	clear(s.secrets)
	s.mu.Unlock()
	s.ClearFaults()
	s.faults.mu.Lock()
	s.faults.applied = nil
	s.faults.mu.Unlock()
	s.history.reset()
}

// Close ends waiting requests, closes every connection and returns when the server has stopped. It returns the
// error that ended serving before Close, if there was one.
func (s *Server) Close() error {
	s.mu.Lock()
	done := s.done
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
	s.mu.Unlock()
	s.broker.Reset()
	if done == nil {
		return nil
	}
	err := s.http.Close()
	<-done
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(err, s.serveErr)
}

// pause waits until d has passed on the server's clock, until ctx, the request's, ends, or until Close. It
// returns at once when d is not positive.
func (s *Server) pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	due := make(chan struct{})
	stop := s.cfg.Clock.AfterFunc(d, func() { close(due) })
	defer stop()
	select {
	case <-due:
	case <-ctx.Done():
	case <-s.closed:
	}
}
