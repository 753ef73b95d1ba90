// Package emulators holds tests only: the faults of a queue that LocalStack can
// show too, with a relay on a real PostgreSQL, once against the fake and once
// against LocalStack. What a broker itself must do is in package brokertest;
// here it is what becomes of the events.
package emulators
