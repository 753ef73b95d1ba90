// Package relay carries events from the outbox to their destinations, in order
// within each lane.
package relay
