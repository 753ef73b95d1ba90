package awsfake

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/fakebroker"
)

// admin serves the paths under /_fake/:
//
//	GET    health            {"status":"ok"}
//	POST   reset             calls Server.Reset
//	GET    stats             calls, tallies, queue depths
//	GET    faults            planned faults; ?applied=true what happened
//	POST   faults            plans one (a Fault as JSON), answers {"id":...}
//	DELETE faults            takes all back; faults/ID only that one
//	GET    history           JSON lines from ?offset= on, at most ?limit= of them;
//	                         the header X-Next-Offset is the cursor
//	GET    clock             {"now":...}
//	POST   clock             moves the clock forward: {"advance":"5m"}
func (s *Server) admin(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/_fake/")
	fault, one := strings.CutPrefix(path, "faults/")
	switch key := r.Method + " " + path; {
	case key == "GET health":
		reply(w, http.StatusOK, map[string]string{"status": "ok", "service": "awsfake"})
	case key == "POST reset":
		s.Reset()
		reply(w, http.StatusOK, map[string]string{"status": "ok"})
	case key == "GET stats":
		reply(w, http.StatusOK, s.Stats())
	case key == "GET faults":
		if r.URL.Query().Get("applied") != "" {
			reply(w, http.StatusOK, s.AppliedFaults())
			return
		}
		reply(w, http.StatusOK, s.Faults())
	case key == "POST faults":
		s.adminAddFault(w, r)
	case key == "DELETE faults":
		s.ClearFaults()
		reply(w, http.StatusOK, map[string]string{"status": "ok"})
	case r.Method == http.MethodDelete && one:
		if !s.RemoveFault(fault) {
			reply(w, http.StatusNotFound, map[string]string{"error": "no such fault"})
			return
		}
		reply(w, http.StatusOK, map[string]string{"status": "ok"})
	case key == "GET history":
		s.adminHistory(w, r)
	case key == "GET clock":
		reply(w, http.StatusOK, map[string]time.Time{"now": s.cfg.Clock.Now()})
	case key == "POST clock":
		s.adminClock(w, r)
	default:
		reply(w, http.StatusNotFound, map[string]string{"error": "no such path"})
	}
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// A client that went away needs no answer.
	_ = json.NewEncoder(w).Encode(v)
}

func (s *Server) adminAddFault(w http.ResponseWriter, r *http.Request) {
	var f Fault
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		reply(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	id, err := s.AddFault(f)
	if err != nil {
		reply(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	reply(w, http.StatusOK, map[string]string{"id": id})
}

func (s *Server) adminHistory(w http.ResponseWriter, r *http.Request) {
	number := func(name string, otherwise int64) (int64, bool) {
		text := r.URL.Query().Get(name)
		if text == "" {
			return otherwise, true
		}
		n, err := strconv.ParseInt(text, 10, 64)
		return n, err == nil && n >= 0
	}
	offset, ok1 := number("offset", 0)
	limit, ok2 := number("limit", 1000)
	if !ok1 || !ok2 {
		reply(w, http.StatusBadRequest, map[string]string{"error": "offset and limit must be whole numbers"})
		return
	}
	part, next := s.history.slice(offset, int(min(limit, 100_000)))
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("X-Next-Offset", strconv.FormatInt(next, 10))
	enc := json.NewEncoder(w)
	for i := range part {
		if enc.Encode(&part[i]) != nil {
			return
		}
	}
}

func (s *Server) adminClock(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Advance string `json:"advance"`
	}
	clock, canShift := s.cfg.Clock.(*ShiftClock)
	err := json.NewDecoder(r.Body).Decode(&in)
	d, parseErr := time.ParseDuration(in.Advance)
	if err != nil || parseErr != nil || d < 0 || !canShift {
		reply(w, http.StatusBadRequest, map[string]string{"error": `want {"advance":"5m"}, and a clock that can be moved`})
		return
	}
	clock.Advance(d)
	reply(w, http.StatusOK, map[string]time.Time{"now": clock.Now()})
}

// Stats are the server's counts: Calls has requests by operation of the API (see [Server.Calls]), Tallies what was
// accepted (see [Server.Tallies]), and Queues, by name, the messages that queues have at this moment.
type Stats struct {
	Calls   map[string]int64             `json:"calls"`
	Tallies []Tally                      `json:"tallies"`
	Queues  map[string]fakebroker.Counts `json:"queues"`
	// Undelivered counts the deliveries of topics that neither the subscribed queue nor the subscription's
	// dead-letter queue took, since the start or the last Reset.
	Undelivered int64 `json:"undelivered"`
}

// Stats returns the counts at this moment.
func (s *Server) Stats() Stats {
	st := Stats{Calls: s.Calls(), Tallies: s.Tallies(), Queues: map[string]fakebroker.Counts{}, Undelivered: s.broker.Undelivered()}
	for _, q := range s.broker.Queues() {
		st.Queues[q.Name()] = q.Counts()
	}
	return st
}
