//go:build unix

package lambdahost

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// handler returns the Runtime API of this environment, and of the Extensions API what a process needs to ask for
// SIGTERM.
func (e *environment) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", e.handleNext)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", e.handleAnswer(func(inv *invocation, body []byte) {
		inv.response = body
	}))
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", e.handleAnswer(func(inv *invocation, body []byte) {
		inv.failure = reportedError(inv.id, body)
	}))
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", e.handleInitError)
	mux.HandleFunc("POST /2020-01-01/extension/register", func(w http.ResponseWriter, _ *http.Request) {
		e.registered.Store(true)
		w.Header().Set("Lambda-Extension-Identifier", uuid.NewString())
		w.WriteHeader(http.StatusOK)
	})
	// An internal extension without events waits here for ever.
	mux.HandleFunc("GET /2020-01-01/extension/event/next", func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	})
	return mux
}

// handleNext answers the request for the next invocation with the one that invoke sends, and waits until then.
func (e *environment) handleNext(w http.ResponseWriter, r *http.Request) {
	p := poll{at: time.Now(), deliver: make(chan *invocation)}
	select {
	case e.polls <- p:
	case <-r.Context().Done():
		return
	}
	select {
	case inv := <-p.deliver:
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(inv.deadline.UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:"+e.cfg.Region+":000000000000:function:"+e.cfg.Name)
		h.Set("Lambda-Runtime-Trace-Id", traceID(inv))
		_, _ = w.Write(inv.payload) // A process that is gone is noticed by its exit.
	case <-r.Context().Done():
	}
}

// traceID returns the value of the X-Ray header for an invocation, with a new trace id and "not sampled".
func traceID(inv *invocation) string {
	id := strings.ReplaceAll(uuid.NewString(), "-", "")
	return "Root=1-" + strconv.FormatInt(inv.deadline.Unix(), 16) + "-" + id[:24] + ";Sampled=0"
}

// handleAnswer returns the handler of a POST of the response or error of an invocation: keep, which is called with
// e.mu locked, stores the body. The handler answers 400 to a second POST, and to one for an invocation that does not
// run.
func (e *environment) handleAnswer(keep func(*invocation, []byte)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		inv := e.current
		if inv == nil || inv.id != r.PathValue("id") || inv.response != nil || inv.failure != nil {
			http.Error(w, `{"errorType":"InvalidRequestID"}`, http.StatusBadRequest)
			return
		}
		keep(inv, append([]byte{}, body...))
		w.WriteHeader(http.StatusAccepted)
	}
}

// handleInitError handles a POST of the error with which the process failed to start, and keeps it in e.initErr.
func (e *environment) handleInitError(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.initErr = reportedError("", body)
	w.WriteHeader(http.StatusAccepted)
}
