package awsfake

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"
)

// FaultKind names what a fault does.
type FaultKind string

const (
	// FailEntry refuses an entry of a batch: the answer has it in the list Failed with Code and SenderFault.
	// The other entries are accepted. A call that sends one message fails with that error.
	FailEntry FaultKind = "fail_entry"
	// OmitEntry leaves an entry out of both lists of a batch's answer, Successful and Failed. The message is
	// accepted all the same when Fault.Accepted is set, and refused otherwise. A call that sends one message fails
	// without Accepted, and is not changed with it.
	OmitEntry FaultKind = "omit_entry"
	// WrongMD5 answers an accepted entry with a wrong checksum of the body, in sends to SQS only.
	WrongMD5 FaultKind = "wrong_md5"
	// FailCall refuses the whole request with Status and Code, without carrying it out.
	FailCall FaultKind = "fail_call"
	// LoseResponse carries the request out and then loses the answer in the way that Fault.Mode names. The answer to
	// a request that fails is not lost.
	LoseResponse FaultKind = "lose_response"
	// DropConnection closes the connection without carrying the request out.
	DropConnection FaultKind = "drop_connection"
	// Delay carries the request out later: after Fault.Delay, with the chance TailProbability after Delay plus
	// Tail.
	Delay FaultKind = "delay"
	// DeliveryLag delays messages on the way from a topic to a queue, by as much as the kind Delay. All messages of
	// one publish to one subscribed queue are one match. Fault.Resource is the name of the topic or the queue;
	// Operation, GroupID and Entry are ignored.
	DeliveryLag FaultKind = "delivery_lag"
)

// LossMode says how [LoseResponse] loses an answer.
type LossMode string

// The ways to lose an answer.
const (
	LossClose    LossMode = "close"    // the connection is closed
	LossReset    LossMode = "reset"    // the connection is reset
	LossTruncate LossMode = "truncate" // half of the body is sent
	LossHang     LossMode = "hang"     // nothing is sent until the client gives up
)

// Fault is a planned fault: what happens to which requests to SNS and SQS. Calls of Secrets Manager are changed by
// FailCall only, and those of STS by none. An empty Operation, Resource or GroupID, and an Entry of 0, match all.
type Fault struct {
	Kind FaultKind `json:"kind"`

	// Operation is the name of an API call, such as "SendMessageBatch".
	Operation string `json:"operation,omitempty"`
	// Resource is the name of a queue or topic, or of a secret as the call gives it (name or ARN).
	Resource string `json:"resource,omitempty"`
	// GroupID picks the entries of one message group, or, for faults of whole requests, those that have such an entry.
	GroupID string `json:"group_id,omitempty"`
	// Entry picks one entry of a batch by its place, counted from 1, or the requests that have an entry there.
	Entry int `json:"entry,omitempty"`

	// After is how many matching requests or entries are spared before the first that is hit.
	After int `json:"after,omitempty"`
	// Count is how many times the fault happens, and then never again. 0 is no limit.
	Count int `json:"count,omitempty"`
	// Probability is the chance, from 0 to 1, that the fault happens at a match, drawn with Seed; 0 is always.
	Probability float64 `json:"probability,omitempty"`
	Seed        uint64  `json:"seed,omitempty"`

	// Code, Message, SenderFault and Status describe the error of FailEntry, OmitEntry and FailCall. Code
	// defaults to InternalError, Message to "planned fault", Status to 500 when the sender is not at fault and
	// 400 when it is.
	Code        string `json:"code,omitempty"`
	Message     string `json:"message,omitempty"`
	SenderFault bool   `json:"sender_fault,omitempty"`
	Status      int    `json:"status,omitempty"`
	// Accepted is for OmitEntry: the entry left out of the answer is accepted, and is refused otherwise.
	Accepted bool `json:"accepted,omitempty"`
	// Mode is for LoseResponse. Defaults to LossClose.
	Mode LossMode `json:"mode,omitempty"`
	// Delay is for the kinds Delay and DeliveryLag; with the chance TailProbability, from 0 to 1, the time is
	// Delay plus Tail. In JSON the unit is nanoseconds.
	Delay           time.Duration `json:"delay,omitempty"`
	Tail            time.Duration `json:"tail,omitempty"`
	TailProbability float64       `json:"tail_probability,omitempty"`
}

// FaultStatus is a planned fault with its id and Applied, how many times it happened so far.
type FaultStatus struct {
	ID string `json:"id"`
	Fault
	Applied int `json:"applied"`
}

// AppliedFault is one time that a fault happened.
type AppliedFault struct {
	At        time.Time `json:"at"`
	FaultID   string    `json:"fault_id"`
	Kind      FaultKind `json:"kind"`
	Operation string    `json:"operation"`
	Resource  string    `json:"resource"`
	// Entry is the place in the batch from 1 on, 0 for a whole request.
	Entry   int    `json:"entry,omitempty"`
	GroupID string `json:"group_id,omitempty"`
}

// maxApplied is the most applied faults that are remembered. Before one more the older half is forgotten.
const maxApplied = 100_000

// faults has the planned faults and the record of those that happened.
type faults struct {
	clock   Clock
	mu      sync.Mutex
	nextID  int
	rules   []*rule
	applied []AppliedFault
}

// rule is a planned fault with the state that decides when it happens.
type rule struct {
	FaultStatus
	// seen counts the matches until Count is reached; rng draws for Probability and TailProbability.
	seen int
	rng  *rand.Rand
}

// AddFault plans a fault, beginning with the next request, and returns its id. It fails for an unknown Kind or
// Mode, a chance outside of 0 to 1, or a negative number.
func (s *Server) AddFault(f Fault) (string, error) {
	var errs []error
	switch f.Kind {
	case FailEntry, OmitEntry, WrongMD5, FailCall, LoseResponse, DropConnection, Delay, DeliveryLag:
	default:
		errs = append(errs, errors.New("kind: unknown"))
	}
	switch f.Mode {
	case "", LossClose, LossReset, LossTruncate, LossHang:
	default:
		errs = append(errs, errors.New("mode: unknown"))
	}
	if f.Probability < 0 || f.Probability > 1 || f.TailProbability < 0 || f.TailProbability > 1 {
		errs = append(errs, errors.New("probability: not between 0 and 1"))
	}
	if f.After < 0 || f.Count < 0 || f.Entry < 0 || f.Delay < 0 || f.Tail < 0 {
		errs = append(errs, errors.New("after, count, entry, delay, tail: negative"))
	}
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.nextID++
	r := &rule{rng: rand.New(rand.NewPCG(f.Seed, 0x9e3779b97f4a7c15))} //nolint:gosec // repeatable on purpose
	r.Fault, r.ID = f, "fault-"+strconv.Itoa(s.faults.nextID)
	s.faults.rules = append(s.faults.rules, r)
	return r.ID, nil
}

// RemoveFault removes a planned fault and reports whether it was there.
func (s *Server) RemoveFault(id string) bool {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	before := len(s.faults.rules)
	s.faults.rules = slices.DeleteFunc(s.faults.rules, func(r *rule) bool { return r.ID == id })
	return len(s.faults.rules) < before
}

// ClearFaults removes all planned faults. [Server.AppliedFaults] still returns what they did.
func (s *Server) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.rules = nil
}

// Faults returns the planned faults in the order of AddFault, those too that have happened Count times.
func (s *Server) Faults() []FaultStatus {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	out := make([]FaultStatus, len(s.faults.rules))
	for i, r := range s.faults.rules {
		out[i] = r.FaultStatus
	}
	return out
}

// AppliedFaults returns each time that a fault happened since the start or the last Reset, in order. Of more
// than 100,000 it returns only the last, at least 50,000.
func (s *Server) AppliedFaults() []AppliedFault {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	return slices.Clone(s.faults.applied)
}

// plan decides which faults happen to a request for the operation on the resource, and counts and records them
// as applied. groups has the group id of each entry, "" where an entry has none; nil is for a request without
// entries.
func (f *faults) plan(operation, resource string, groups []string) plan {
	var p plan
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.rules {
		if r.Operation != "" && r.Operation != operation || r.Resource != "" && r.Resource != resource {
			continue
		}
		switch r.Kind {
		case DeliveryLag:
		case FailEntry, OmitEntry, WrongMD5:
			for i, g := range groups {
				if _, taken := p.entries[i]; !taken && r.wants(i, g) && r.hit() {
					f.record(r, operation, resource, i+1, g)
					if p.entries == nil {
						p.entries = map[int]*Fault{}
					}
					p.entries[i] = &r.Fault
				}
			}
		case Delay:
			if r.wantsAny(groups) && r.hit() {
				f.record(r, operation, resource, 0, r.GroupID)
				p.delay += r.draw()
			}
		case FailCall, LoseResponse, DropConnection:
			if p.call == nil && r.wantsAny(groups) && r.hit() {
				f.record(r, operation, resource, 0, r.GroupID)
				p.call = &r.Fault
			}
		}
	}
	return p
}

// lag returns by how much faults of the kind DeliveryLag delay a publish on its way from a topic to a queue, both given
// by name, and counts and records those faults as applied. It returns 0 when there is none.
func (f *faults) lag(topic, queue string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	var d time.Duration
	for _, r := range f.rules {
		if r.Kind == DeliveryLag && (r.Resource == "" || r.Resource == topic || r.Resource == queue) && r.hit() {
			f.record(r, "", queue, 0, "")
			d += r.draw()
		}
	}
	return d
}

func (f *faults) record(r *rule, operation, resource string, entry int, group string) {
	if len(f.applied) == maxApplied {
		f.applied = slices.Delete(f.applied, 0, maxApplied/2)
	}
	f.applied = append(f.applied, AppliedFault{
		At: f.clock.Now(), FaultID: r.ID, Kind: r.Kind, Operation: operation, Resource: resource, Entry: entry, GroupID: group,
	})
}

// wants reports whether Entry and GroupID match the entry at index i, from 0, of the given message group.
func (r *rule) wants(i int, group string) bool {
	return (r.Entry == 0 || r.Entry == i+1) && (r.GroupID == "" || r.GroupID == group)
}

// wantsAny reports whether Entry and GroupID match one of the entries of a request, which have these message groups in
// their order. If both are empty they match every request.
func (r *rule) wantsAny(groups []string) bool {
	if r.Entry == 0 && r.GroupID == "" {
		return true
	}
	for i, g := range groups {
		if r.wants(i, g) {
			return true
		}
	}
	return false
}

// hit counts a match, and decides by After, Count and Probability whether the fault happens at it. If so, it
// raises Applied and returns true.
func (r *rule) hit() bool {
	if r.Count > 0 && r.Applied >= r.Count {
		return false
	}
	if r.seen++; r.seen <= r.After {
		return false
	}
	if r.Probability > 0 && r.rng.Float64() >= r.Probability {
		return false
	}
	r.Applied++
	return true
}

// draw returns how long a fault of the kind Delay or DeliveryLag takes, with Tail if TailProbability says so.
func (r *rule) draw() time.Duration {
	if r.Tail > 0 && r.rng.Float64() < r.TailProbability {
		return r.Delay + r.Tail
	}
	return r.Delay
}
