package load

// Peer describes another outbox.
type Peer struct {
	Name string `json:"name"`
	// Module and Version are the Go module and version that were built.
	Module  string `json:"module"`
	Version string `json:"version"`
	// Settings are the peer's settings that matter for its speed.
	Settings string `json:"settings"`
	// Ordered is whether the peer promises the order of an aggregate's events.
	Ordered bool `json:"ordered"`
	// Unsent is a query that returns how many events the peer takes for unsent.
	Unsent string `json:"unsent"`
}

// Destination is the database that a peer reads, and the topic or queue to which it
// publishes.
type Destination struct {
	// URL is the database.
	URL string `json:"url"`
	// Service is sqs or sns, Endpoint its address, and Target the URL of the
	// queue or the ARN of the topic.
	Service  string `json:"service"`
	Endpoint string `json:"endpoint"`
	Target   string `json:"target"`
}
