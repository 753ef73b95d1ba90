package load

// Peer describes another outbox that the relay is compared with.
type Peer struct {
	// Name is the peer's name in Scenario.System and on the command line of the program peers.
	Name string `json:"name"`
	// Module and Version are the Go module and version that were built.
	Module  string `json:"module"`
	Version string `json:"version"`
	// Settings are the peer's settings that matter for its speed.
	Settings string `json:"settings"`
	// Ordered is whether the peer promises the order of an aggregate's events.
	Ordered bool `json:"ordered"`
	// Unsent is an SQL query, on the peer's own tables, that returns how many events the peer takes for unsent.
	Unsent string `json:"unsent"`
}

// Destination is the database that a peer reads, and the topic or queue to which it
// publishes.
type Destination struct {
	// URL is the address of the database.
	URL string `json:"url"`
	// Service is "sqs" or "sns", Endpoint the URL of its API, and Target the URL of the queue or the ARN of the
	// topic.
	Service  string `json:"service"`
	Endpoint string `json:"endpoint"`
	Target   string `json:"target"`
}
