// Package outbox is the write side of a transactional outbox, and the words
// that its other parts share.
package outbox
