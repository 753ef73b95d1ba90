package mutants

import "slices"

const (
	engine = "pkg/outbox/relay"
	double = "internal/testkit/memory"
)

// mutants returns all deliberate bugs.
func mutants() []mutant {
	return slices.Concat(leases(), sending(), reading(), handOver())
}

func leases() []mutant {
	return []mutant{
		{
			"skip the fence", "a relay marks events after its lease was taken over",
			[]edit{{double, "Store.settle", "if s.relays[_] == nil {}", drop, ""}},
			[]string{"marked_without_lease"},
			0,
		},
		{
			"reuse a lease after a freeze", "no look at the lease before a call starts",
			[]edit{{engine, "lease.allows", "end.Before(_) && _", replace, "end.After(time.Time{})"}},
			[]string{"no_lease", "reordered", "duplicated"},
			0,
		},
		{
			"send after a lost lease", "the answer that the lease is lost is taken for a renewal",
			[]edit{
				{engine, "loop.renewFailed", "l.end(LeaseLost, now)", replace, `
					valid := now.Add(l.cfg.LeaseTTL)
					l.lease.valid.Store(&valid)
					l.lease.renewAt = now.Add(renewRetry)`},
				{engine, "loop.renewFailed", "l.outcome = LeaseLost", drop, ""},
			},
			[]string{"no_lease", "reordered", "duplicated"},
			0,
		},
		{
			"count the lease from its answer", "a lease whose answer came late is taken to last",
			[]edit{{engine, "loop.renewed", "sent.Add(l.cfg.LeaseTTL)", replace, "now.Add(l.cfg.LeaseTTL)"}},
			[]string{"no_lease"},
			0,
		},
		{
			"mix the clocks", "the end of the lease by the database's clock is compared with the relay's",
			[]edit{{engine, "loop.renewed", "sent.Add(l.cfg.LeaseTTL)", replace, "got.Now.Add(l.cfg.LeaseTTL)"}},
			[]string{"no_lease", "stuck"},
			0,
		},
		{
			"forget the offset of the clocks", "latencies mix the database's clock with the relay's",
			[]edit{{engine, "loop.result", "at.Add(l.lease.offset)", replace, "at"}},
			[]string{"wrong_clock"},
			0,
		},
	}
}

func sending() []mutant {
	return []mutant{
		{
			"ignore failed entries", "a batch that was accepted in part counts as accepted",
			[]edit{{engine, "loop.published", "l.result(it, _, at)", replace, `
				r := resultAt(results, i)
				if classes[outbox.Accepted] > 0 {
					r.Class = outbox.Accepted
				}
				l.result(it, r, at)`}},
			[]string{"marked_not_accepted", "mismarked"},
			0,
		},
		{
			"settle before accept", "events are marked before they are sent",
			[]edit{{engine, "loop.send", "d.sink.Publish(_, msgs)", before, `
				var early Settlement
				for _, it := range batch {
					early.Accepted = append(early.Accepted, Accepted{ID: it.rec.ID})
				}
				_, _ = l.store.Settle(ctx, l.cfg.RelayID, early)`}},
			[]string{"marked_not_accepted", "sent_settled"},
			0,
		},
		{
			"mark on timeout", "an unknown outcome counts as accepted",
			[]edit{{engine, "loop.result", "l.stats.result(d, _)", before, `
				if r.Class == outbox.Unknown {
					r.Class = outbox.Accepted
				}`}},
			[]string{"marked_not_accepted"},
			0,
		},
		{
			"new deduplication id on retry", "the broker cannot know a resend",
			[]edit{{engine, "window.send", "it.state, it.tried = inFlight, true", before, `
				if it.tried {
					it.msg.DeduplicationID += "'"
				}`}},
			[]string{"deduplication_changed"},
			0,
		},
		{
			"let a group overtake", "after a failure the next event of the lane goes first",
			[]edit{{engine, "loop.retry", "l.backingOff.add(lane, _)", before, `
				if n := len(lane.queue); n > 1 {
					lane.queue = append(lane.queue[1:n:n], lane.queue[0])
				}`}},
			[]string{"reordered"},
			0,
		},
		{
			"two in flight per lane", "two events of a lane go in one batch",
			[]edit{
				{engine, "destination.pack", "batch = append(batch, it)", after, `
					if len(l.queue) > 1 && len(batch) < d.limits.Entries && l.queue[1].fault == nil && l.queue[1].state == queued {
						size += l.queue[1].msg.Size
						batch = append(batch, l.queue[1])
					}`},
				{engine, "loop.result", "l.window.accept(it)", replace, `
					it.state = unsettled
					lane.queue = slices.DeleteFunc(slices.Clone(lane.queue), func(x *item) bool { return x == it })`},
				{engine, "loop.retry", "", begin, `
					if lane.heapIndex >= 0 {
						return
					}`},
				{engine, "loop.next", "", begin, "l.backingOff.remove(lane)"},
			},
			[]string{"reordered"},
			0,
		},
		{
			"return with a sender alive", "the run ends while calls are under way",
			[]edit{{engine, "loop.finished", "!l.ending || l.outstanding > 0", replace, "!l.ending"}},
			[]string{"left_running", "duplicated", "released_unsettled"},
			0,
		},
		{
			"forget what could not be marked", "a settlement that failed is not tried again",
			[]edit{{engine, "loop.settleFailed", "l.settle.items = append(items, _)", replace, `
				for _, it := range items {
					l.window.settled(it)
					l.forgetSettled(it)
				}`}},
			[]string{"duplicated", "accepted_not_marked", "released_unsettled", "lost"},
			0,
		},
	}
}

func reading() []mutant {
	return []mutant{
		{
			"cursor without gaps", "ids that were not visible are not looked at again",
			[]edit{{engine, "gaps.add", "first > last", replace, "first > 0"}},
			[]string{"lost", "stuck"},
			0,
		},
		{
			"drop the late commit", "rows found in gaps are not taken in",
			[]edit{{engine, "loop.admit", "rec := it.rec", after, `
				if src == fromGap {
					return
				}`}},
			[]string{"lost", "stuck"},
			0,
		},
		{
			"end a backfill early", "what a lane deferred is read once",
			[]edit{{engine, "cursor.advanceLane", "next == 0", replace, "next >= 0"}},
			[]string{"lost", "stuck", "reordered"},
			0,
		},
		{
			"read ahead of a catch-up", "new rows of a shard gained overtake those its last holder left",
			[]edit{{engine, "loop.admit", "src != fromCatchUp && src != fromLane", replace, "src == fromDestination"}},
			[]string{"reordered", "lost", "stuck"},
			0,
		},
		{
			"forget what a fetch may have read", "an event is forgotten while a fetch that read it as unsent is under way",
			[]edit{{engine, "loop.settled", "l.fetcher.running", replace, "l.fetcher.running && it == nil"}},
			[]string{"sent_settled", "duplicated"},
			1000,
		},
	}
}

func handOver() []mutant {
	return []mutant{
		{
			"position without a low-water mark", "the next holder resumes above what is not settled",
			[]edit{{engine, "loop.position", "l.window.lowest()", replace, "noID"}},
			[]string{"lost", "stuck"},
			0,
		},
		{
			"give a shard back too early", "shards are released with events under way",
			[]edit{{engine, "loop.drained", "l.window.busy[_] == 0", replace, "l.window.busy[s] <= 1"}},
			[]string{"released_unsettled", "two_in_flight"},
			0,
		},
		{
			"forget the gaps of a shard given back", "late rows of a draining shard are passed over for good",
			[]edit{
				{engine, "cursor.position", "min(low, pinned.Low)", replace, "min(low, pinned.Low+0*low+1<<40)"},
				{engine, "cursor.position", "g.From <= low", replace, "g.From < 0"},
			},
			[]string{"lost", "stuck"},
			0,
		},
		{
			"lane unblocked before it is read", "its row in outbox.blocked goes at once, and the first row of the lane is not looked for",
			[]edit{
				{engine, "cursor.releaseLane", "l.deferred.release, l.deferred.lane = searching, r", replace, "l.deferred.release, l.deferred.lane = found, r"},
				{engine, "cursor.releaseLane", "c.deferLane(l, 1)", replace, "c.deferLane(l, c.head+1)"},
			},
			[]string{"lost", "stuck", "reordered"},
			0,
		},
		{
			"lane unblocked while it is searched", "its row in outbox.blocked goes before the first row of the lane is known",
			[]edit{{engine, "cursor.toUnblock", "l.deferred.release == found", replace, "l.deferred.release != notReleased"}},
			[]string{"lost", "stuck", "reordered"},
			4000,
		},
		{
			"lane unblocked before it is searched to the end", "the search for the first row ends with its first page",
			[]edit{{engine, "cursor.searched", "l.deferred.first = got.Next", replace, `
				l.deferred.first, l.deferred.release = c.head+1, found
				return true`}},
			[]string{"lost", "stuck", "reordered"},
			0,
		},
		{
			"lane unblocked without a position", "the position does not allow for a lane that was released",
			[]edit{{engine, "cursor.position", "lane.deferred.release != searching", replace, "lane.deferred.release == notReleased"}},
			[]string{"lost", "stuck"},
			1000,
		},
		{
			"give up a blocked row in a gap", "a row of a blocked lane that was found in a gap is not deferred",
			[]edit{{engine, "loop.takeGaps", "l.cursor.deferBlocked(_, row.ID)", replace, "_ = row"}},
			[]string{"lost", "stuck", "reordered"},
			8000,
		},
	}
}
