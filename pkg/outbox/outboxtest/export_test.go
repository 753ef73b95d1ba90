package outboxtest

// DrainWithin is Drain with a time of its own to wait.
var DrainWithin = drain
