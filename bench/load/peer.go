package load

// Peer is another outbox, as its adapter describes it.
type Peer struct {
	Name string `json:"name"`
	// Module and Version are those that were built.
	Module  string `json:"module"`
	Version string `json:"version"`
	// Settings are the ones that matter for its speed.
	Settings string `json:"settings"`
	// Ordered says whether it promises the order of an aggregate's events.
	Ordered bool `json:"ordered"`
	// Unsent is a query for the number of events that it takes for unsent.
	Unsent string `json:"unsent"`
}

// Destination is where a peer reads and publishes.
type Destination struct {
	// URL is the database.
	URL string `json:"url"`
	// Service is sqs or sns, Endpoint its address, and Target the URL of the
	// queue or the ARN of the topic.
	Service  string `json:"service"`
	Endpoint string `json:"endpoint"`
	Target   string `json:"target"`
}
