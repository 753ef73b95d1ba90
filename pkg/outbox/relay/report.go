package relay

import "time"

// Outcome says why a run ended.
type Outcome string

// The outcomes of a run.
const (
	// Standby: enough other relays run, so this one never started.
	Standby Outcome = "standby"
	// Deadline: the time came that [Relay.Run] was to end at.
	Deadline Outcome = "deadline"
	// Superseded: as many younger relays as Config.Relays run.
	Superseded Outcome = "superseded"
	// Idle: there was nothing to do for Config.IdleExit.
	Idle Outcome = "idle"
	// LeaseLost: the lease lapsed and was ended, by another relay or by the janitor.
	LeaseLost Outcome = "lease_lost"
	// Failed: for half a minute from the first on, every renewal or every fetch failed.
	Failed Outcome = "failed"
	// Canceled: the context ended.
	Canceled Outcome = "canceled"
)

// Counts are sums of what a relay did: since the last report in a [Report], in the whole run in a [Summary].
type Counts struct {
	// Fetched is the number of events that were read and buffered.
	Fetched int64 `json:"fetched"`
	// Published is the number of events that their destination accepted.
	Published int64 `json:"published"`
	// Settled is the number of events marked as sent.
	Settled int64 `json:"settled"`
	// DeadLetters is the number of events that became dead letters, Blocked how many of them blocked their lane.
	DeadLetters int64 `json:"dead_letters"`
	Blocked     int64 `json:"blocked"`
	// Transient, Throttled, Unknown and Unavailable count results of single events by class. An event is counted
	// each time that it is sent and has such a result.
	Transient   int64 `json:"transient"`
	Throttled   int64 `json:"throttled"`
	Unknown     int64 `json:"unknown"`
	Unavailable int64 `json:"unavailable"`
	// Batches is the number of calls to sinks that were started, also of those withheld at the last moment
	// because the lease had run short. BatchEntries is the number of events in these calls.
	Batches      int64 `json:"batches"`
	BatchEntries int64 `json:"batch_entries"`
	// Fetches and Settles count round trips to the database that were started, whether or not they failed.
	Fetches int64 `json:"fetches"`
	Settles int64 `json:"settles"`
	// FetchErrors, SettleErrors and RenewErrors count round trips that failed. RenewErrors also counts a failed
	// Leave, which gives all shards back at the end of the run.
	FetchErrors  int64 `json:"fetch_errors"`
	SettleErrors int64 `json:"settle_errors"`
	RenewErrors  int64 `json:"renew_errors"`
	// HandOvers is the number of shards that were given back, also at the end of the run.
	HandOvers int64 `json:"hand_overs"`
	// Fenced is the number of events that were accepted or given up and not settled, because the lease was lost.
	Fenced int64 `json:"fenced"`
	// Mismatched is the number of events that were accepted or given up and not settled, because their row ids are
	// those of other events now: ids came again.
	Mismatched int64 `json:"mismatched"`
	// Eras is the number of times that row ids were found to have come again, after which reading started over.
	Eras int64 `json:"eras"`
	// Swallowed is the number of events that a broker accepted as duplicates of other events, and does not deliver.
	Swallowed int64 `json:"swallowed"`
	// Late is the number of events buffered from a gap: they committed after a higher id had been read.
	Late int64 `json:"late"`
	// Strays is the number of events buffered from a sweep: no other read was to bring them.
	Strays int64 `json:"strays"`
	// Withheld is the number of times that sending stopped because the lease would not have outlasted a call. All
	// calls that are withheld until the next one is made count once.
	Withheld int64 `json:"withheld"`
	// NoDestination counts each reading of an event whose destination is not configured. Such an event stays in
	// the table, and every sweep reads and counts it again.
	NoDestination int64 `json:"no_destination"`
}

// Report is what a relay did since the last report, and what it owns and has buffered now.
type Report struct {
	Counts
	// Latencies are the times from the insert of an event to its acceptance, both by the database's clock, of the
	// events accepted since the last report, and of an even sample of them when there are 10,000 or more.
	Latencies []time.Duration
	// ByDestination has the counts of each destination since the last report, by name.
	ByDestination map[string]DestinationCounts
	// Backlog counts the unsent events above the position, up to 100,000. It is zero when counting failed or the
	// lease was lost.
	Backlog Backlog
	// Shards is the number of shards owned.
	Shards int
	// Buffered is the number of events in memory and BufferedBytes the size of their messages. InFlight is how many
	// of these events are in a call, or were accepted or given up and are not known to be settled.
	Buffered      int
	BufferedBytes int
	InFlight      int
	// Gaps is the number of ranges of ids that late commits may still fill.
	Gaps int
	// Final marks the last report of a run, which is made after the relay gave its shards back, tried to, or lost
	// them with its lease.
	Final bool
}

// DestinationCounts are counts of one destination, with the meaning that the same names have in [Counts].
type DestinationCounts struct {
	Published   int64 `json:"published"`
	DeadLetters int64 `json:"dead_letters"`
	Throttled   int64 `json:"throttled"`
	Unavailable int64 `json:"unavailable"`
	// Concurrency is the number of calls allowed in flight now.
	Concurrency int `json:"concurrency"`
	// LastError is the text of the newest failure of the whole destination, empty once a message was accepted or
	// rejected after it.
	LastError string `json:"last_error,omitempty"`
}

// Summary is what a whole run did.
type Summary struct {
	// Outcome says why the run ended.
	Outcome Outcome `json:"outcome"`
	RelayID string  `json:"relay_id"`
	// Seconds is how long the run took, from before it joined.
	Seconds float64 `json:"seconds"`
	Counts
	// Destinations has the counts of each destination, by name. It is nil after the outcome Standby.
	Destinations map[string]DestinationCounts `json:"destinations,omitempty"`
}
