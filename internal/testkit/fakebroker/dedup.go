package fakebroker

import (
	"crypto/sha256"
	"time"

	"github.com/google/uuid"
)

// dedupTable remembers deduplication ids for a fixed time after their first use, whatever became of the message. It
// keeps 128-bit hashes instead of ids so that millions of them cost the garbage collector nothing. The lock of its
// queue or topic guards it.
type dedupTable struct {
	// window is how long an id is remembered, in nanoseconds. Times are in nanoseconds since 1970.
	window int64
	// entries has the remembered keys.
	entries map[dedupKey]dedupEntry
	// order lists the keys by time of first use; those before the index oldest are forgotten.
	order  []dedupAge
	oldest int
}

// dedupKey is the hash of a deduplication id and its scope.
type dedupKey [16]byte

// dedupEntry is the message that used a deduplication id first: its message id and sequence number.
type dedupEntry struct {
	id       uuid.UUID
	sequence uint64
}

// dedupAge is a key with the time of its first use.
type dedupAge struct {
	key dedupKey
	at  int64
}

// newDedupTable returns an empty table that remembers ids for the time window.
func newDedupTable(window time.Duration) dedupTable {
	return dedupTable{window: int64(window), entries: map[dedupKey]dedupEntry{}}
}

// newDedupKey hashes a deduplication id, together with the message group if ids are compared within groups only
// (perGroup). No id or group contains a zero byte.
func newDedupKey(id, group string, perGroup bool) dedupKey {
	if !perGroup {
		group = ""
	}
	sum := sha256.Sum256([]byte(group + "\x00" + id))
	return dedupKey(sum[:16])
}

// first returns the message that used k first, and true if k is remembered at the time now.
func (t *dedupTable) first(now int64, k dedupKey) (dedupEntry, bool) {
	t.expire(now)
	e, ok := t.entries[k]
	return e, ok
}

// remember starts the window of k, with e as the message that used k first, unless k is remembered already.
func (t *dedupTable) remember(now int64, k dedupKey, e dedupEntry) {
	if _, ok := t.entries[k]; ok {
		return
	}
	t.entries[k] = e
	t.order = append(t.order, dedupAge{key: k, at: now})
}

// expire forgets the keys whose window is over at the time now.
func (t *dedupTable) expire(now int64) {
	for t.oldest < len(t.order) && now-t.order[t.oldest].at >= t.window {
		delete(t.entries, t.order[t.oldest].key)
		t.oldest++
	}
	if t.oldest > 1024 && t.oldest*2 > len(t.order) {
		n := copy(t.order, t.order[t.oldest:])
		t.order, t.oldest = t.order[:n], 0
	}
}
