package fakebroker

import (
	"hash/maphash"
	"time"
)

// dedupTable remembers deduplication ids for a fixed time after their first
// use, whatever became of the message. It keeps 128-bit hashes instead of ids
// so that millions of them cost the garbage collector nothing.
type dedupTable struct {
	window  int64
	seeds   [2]maphash.Seed
	entries map[dedupKey]dedupEntry
	// order lists the keys by time of first use, from oldest on.
	order  []dedupAge
	oldest int
}

type dedupKey [2]uint64

type dedupEntry struct {
	id       [16]byte
	sequence uint64
}

type dedupAge struct {
	key dedupKey
	at  int64
}

func newDedupTable(window time.Duration) dedupTable {
	return dedupTable{
		window:  int64(window),
		seeds:   [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		entries: map[dedupKey]dedupEntry{},
	}
}

// key hashes the id within a scope: a message group, or "" for the whole
// queue or topic. Ids cannot contain a zero byte.
func (t *dedupTable) key(scope, id string) dedupKey {
	var k dedupKey
	for i, seed := range t.seeds {
		var h maphash.Hash
		h.SetSeed(seed)
		_, _ = h.WriteString(scope)
		_ = h.WriteByte(0)
		_, _ = h.WriteString(id)
		k[i] = h.Sum64()
	}
	return k
}

// first returns the entry under k if it is still remembered.
func (t *dedupTable) first(now int64, k dedupKey) (dedupEntry, bool) {
	t.expire(now)
	e, ok := t.entries[k]
	return e, ok
}

// remember starts the window of k.
func (t *dedupTable) remember(now int64, k dedupKey, e dedupEntry) {
	if _, ok := t.entries[k]; ok {
		return
	}
	t.entries[k] = e
	t.order = append(t.order, dedupAge{key: k, at: now})
}

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
