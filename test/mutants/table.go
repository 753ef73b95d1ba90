package mutants

import "slices"

const (
	engine = "pkg/outbox/relay"
	double = "internal/testkit/memory"
)

// mutants returns all deliberate bugs.
func mutants() []mutant {
	return slices.Concat(leases(), sending(), reading(), handOver(), eras())
}

func leases() []mutant {
	return []mutant{
		{
			name: "skip the fence", breaks: "a relay marks events after its lease was taken over",
			edits:    []edit{{double, "Store.settle", "if s.relays[_] == nil {}", drop, ""}},
			verdicts: []string{"marked_without_lease"},
		},
		{
			name: "reuse a lease after a freeze", breaks: "no look at the lease before a call starts",
			edits:    []edit{{engine, "lease.allows", "end.Before(_) && _", replace, "end.After(time.Time{})"}},
			verdicts: []string{"no_lease", "reordered", "duplicated"},
		},
		{
			name: "send after a lost lease", breaks: "the answer that the lease is lost is taken for a renewal",
			edits: []edit{
				{engine, "loop.renewFailed", "l.end(LeaseLost, now)", replace, `
					valid := now.Add(l.cfg.LeaseTTL)
					l.lease.valid.Store(&valid)
					l.lease.renewAt = now.Add(renewRetry)`},
				{engine, "loop.renewFailed", "l.outcome = LeaseLost", drop, ""},
			},
			verdicts: []string{"no_lease", "reordered", "duplicated"},
		},
		{
			name: "count the lease from its answer", breaks: "a lease whose answer came late is taken to last",
			edits:    []edit{{engine, "loop.renewed", "sent.Add(l.cfg.LeaseTTL)", replace, "now.Add(l.cfg.LeaseTTL)"}},
			verdicts: []string{"no_lease"},
		},
		{
			name: "mix the clocks", breaks: "the end of the lease by the database's clock is compared with the relay's",
			edits:    []edit{{engine, "loop.renewed", "sent.Add(l.cfg.LeaseTTL)", replace, "got.Now.Add(l.cfg.LeaseTTL)"}},
			verdicts: []string{"no_lease", "stuck"},
		},
		{
			name: "forget the offset of the clocks", breaks: "latencies mix the database's clock with the relay's",
			edits:    []edit{{engine, "loop.result", "at.Add(l.lease.offset)", replace, "at"}},
			verdicts: []string{"wrong_clock"},
		},
	}
}

func sending() []mutant {
	return []mutant{
		{
			name: "ignore failed entries", breaks: "a batch that was accepted in part counts as accepted",
			edits: []edit{{engine, "loop.published", "l.result(it, _, at)", replace, `
				r := resultAt(results, i)
				for k := range results {
					if resultAt(results, k).Class == outbox.Accepted {
						r.Class = outbox.Accepted
					}
				}
				l.result(it, r, at)`}},
			verdicts: []string{"marked_not_accepted", "mismarked"},
		},
		{
			name: "settle before accept", breaks: "events are marked before they are sent",
			edits: []edit{{engine, "loop.send", "b.dest.sink.Publish(_, msgs)", before, `
				var early Settlement
				for _, it := range b.items {
					early.Accepted = append(early.Accepted, Accepted{ID: it.rec.ID})
				}
				_, _ = l.store.Settle(ctx, l.cfg.RelayID, early)`}},
			verdicts: []string{"marked_not_accepted", "sent_settled"},
		},
		{
			name: "mark on timeout", breaks: "an unknown outcome counts as accepted",
			edits: []edit{{engine, "loop.result", "l.stats.result(d, _)", before, `
				if r.Class == outbox.Unknown {
					r.Class = outbox.Accepted
				}`}},
			verdicts: []string{"marked_not_accepted"},
		},
		{
			name: "new deduplication id on retry", breaks: "the broker cannot know a resend",
			edits: []edit{{engine, "window.send", "it.state, it.tried = inFlight, true", before, `
				if it.tried {
					it.msg.DeduplicationID += "'"
				}`}},
			verdicts: []string{"deduplication_changed"},
		},
		{
			name: "let a group overtake", breaks: "after a failure the next event of the lane goes first",
			edits: []edit{{engine, "loop.retry", "l.backingOff.add(lane, _)", before, `
				if n := len(lane.queue); n > 1 {
					lane.queue = append(lane.queue[1:n:n], lane.queue[0])
				}`}},
			verdicts: []string{"reordered"},
		},
		{
			name: "two in flight per lane", breaks: "two events of a lane go in one batch",
			edits: []edit{
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
			verdicts: []string{"reordered"},
		},
		{
			name: "charge by entry", breaks: "an outage whose calls are answered is charged to the events",
			edits:    []edit{{engine, "loop.result", "r.Class == outbox.Transient && d.blames(it)", replace, "r.Class == outbox.Transient"}},
			verdicts: []string{"unexplained"},
		},
		{
			name: "floor of one", breaks: "at a low rate one call may be in flight, and a slow one stops all",
			edits: []edit{
				{engine, "concurrency.done", "max(c.least, c.limit-0.25)", replace, "max(1, c.limit-0.25)"},
				{engine, "loop.judge", "d.conc.halve(now, d.conc.least)", replace, "d.conc.halve(now, 1)"},
			},
			verdicts: []string{"few_calls"},
		},
		{
			name: "suspects in company", breaks: "what was in a call without an answer goes with others again",
			edits:    []edit{{engine, "loop.judge", "it.alone = true", replace, "it.alone = false"}},
			verdicts: []string{"suspect_in_company"},
		},
		{
			name: "return with a sender alive", breaks: "the run ends while calls are under way",
			edits:    []edit{{engine, "loop.finished", "!l.ending || l.outstanding > 0", replace, "!l.ending"}},
			verdicts: []string{"left_running", "duplicated", "released_unsettled"},
		},
		{
			name: "forget what could not be marked", breaks: "a settlement that failed is not tried again",
			edits: []edit{{engine, "loop.settleFailed", "l.settle.items = append(items, _)", replace, `
				for _, it := range items {
					l.window.settled(it)
					l.forgetSettled(it)
				}`}},
			verdicts: []string{"duplicated", "accepted_not_marked", "released_unsettled", "lost"},
		},
	}
}

func reading() []mutant {
	return []mutant{
		{
			name: "cursor without gaps", breaks: "ids that were not visible are not looked at again",
			edits:    []edit{{engine, "gaps.add", "first > last", replace, "first > 0"}},
			verdicts: []string{"lost", "stuck"},
		},
		{
			name: "drop the late commit", breaks: "rows found in gaps are not taken in",
			edits: []edit{{engine, "loop.admit", "rec := it.rec", after, `
				if src == fromGap {
					return
				}`}},
			verdicts: []string{"lost", "stuck"},
		},
		{
			name: "end a backfill early", breaks: "what a lane deferred is read once",
			edits:    []edit{{engine, "cursor.advanceLane", "next == 0", replace, "next >= 0"}},
			verdicts: []string{"lost", "stuck", "reordered"},
		},
		{
			name: "read ahead of a catch-up", breaks: "new rows of a shard gained overtake those its last holder left",
			edits:    []edit{{engine, "loop.admit", "src != fromCatchUp && src != fromLane", replace, "src == fromDestination"}},
			verdicts: []string{"reordered", "lost", "stuck"},
		},
		{
			name: "forget what a fetch may have read", breaks: "an event is forgotten while a fetch that read it as unsent is under way",
			edits:    []edit{{engine, "loop.settled", "l.fetcher.running", replace, "l.fetcher.running && it == nil"}},
			verdicts: []string{"sent_settled", "duplicated"},
			seeds:    1000,
		},
	}
}

func handOver() []mutant {
	return []mutant{
		{
			name: "position without a low-water mark", breaks: "the next holder resumes above what is not settled",
			edits:    []edit{{engine, "loop.position", "l.window.lowest()", replace, "nil"}},
			verdicts: []string{"lost", "stuck"},
		},
		{
			name: "unknown destination pins the position", breaks: "events of a destination that is not configured hold the position of all",
			edits:    []edit{{engine, "loop.unknownDestination", "l.stats.now.NoDestination += int64(events)", after, "l.cursor.pins[-int(first)] = Position{Low: first - 1}"}},
			verdicts: []string{"pinned"},
		},
		{
			name: "give a shard back too early", breaks: "shards are released with events under way",
			edits:    []edit{{engine, "loop.drained", "l.window.busy[_] == 0", replace, "l.window.busy[s] <= 1"}},
			verdicts: []string{"released_unsettled", "two_in_flight"},
		},
		{
			name: "forget the gaps of a shard given back", breaks: "late rows of a draining shard are passed over for good",
			edits: []edit{
				{engine, "cursor.position", "min(p.Low, pinned.Low)", replace, "min(p.Low, pinned.Low+1<<40)"},
				{engine, "cursor.position", "min(first, pinned.Lows[name]+1)", replace, "min(first, pinned.Lows[name]+1<<40)"},
				{engine, "cursor.position", "g.From <= p.Low", replace, "g.From < 0"},
			},
			verdicts: []string{"lost", "stuck"},
		},
		{
			name: "lane unblocked before it is read", breaks: "its row in outbox.blocked goes at once, and the first row of the lane is not looked for",
			edits: []edit{
				{engine, "cursor.releaseLane", "l.deferred.release, l.deferred.lane = searching, r", replace, "l.deferred.release, l.deferred.lane = found, r"},
				{engine, "cursor.releaseLane", "c.deferLane(l, 1)", replace, "c.deferLane(l, c.head+1)"},
			},
			verdicts: []string{"lost", "stuck", "reordered"},
		},
		{
			name: "lane unblocked while it is searched", breaks: "its row in outbox.blocked goes before the first row of the lane is known",
			edits:    []edit{{engine, "cursor.toUnblock", "l.deferred.release == found", replace, "l.deferred.release != notReleased"}},
			verdicts: []string{"lost", "stuck", "reordered"},
			seeds:    4000,
		},
		{
			name: "lane unblocked before it is searched to the end", breaks: "the search for the first row ends with its first page",
			edits: []edit{{engine, "cursor.searched", "l.deferred.first = got.Next", replace, `
				l.deferred.first, l.deferred.release = c.head+1, found
				return true`}},
			verdicts: []string{"lost", "stuck", "reordered"},
		},
		{
			name: "lane unblocked without a position", breaks: "the position does not allow for a lane that was released",
			edits:    []edit{{engine, "cursor.position", "lane.deferred.release != searching", replace, "lane.deferred.release == notReleased"}},
			verdicts: []string{"lost", "stuck"},
			seeds:    1000,
		},
		{
			name: "give up a blocked row in a gap", breaks: "a row of a blocked lane that was found in a gap is not deferred",
			edits:    []edit{{engine, "loop.takeGaps", "l.cursor.deferBlocked(_, row.ID)", replace, "_ = row"}},
			verdicts: []string{"lost", "stuck", "reordered"},
			seeds:    8000,
		},
	}
}

func eras() []mutant {
	return []mutant{
		{
			name: "settle by id alone", breaks: "a new event is marked as sent because it has the row id of one that a failover lost",
			edits:    []edit{{double, "Store.settle", "r.rec.EventID != a.EventID", replace, "false"}},
			verdicts: []string{"lost", "mismarked", "marked_not_accepted"},
			seeds:    4000,
		},
		{
			name: "store the position of another era", breaks: "a relay that has not heard of a failover stores how far it had read before",
			edits:    []edit{{double, "Store.renew", "r.Era == era", replace, "r.Era+era > 0"}},
			verdicts: []string{"lost", "stuck"},
			seeds:    4000,
		},
		{
			name: "read on after a failover", breaks: "rows that were given ids below the head again are not read",
			edits:    []edit{{engine, "loop.enter", "l.startOver()", drop, ""}},
			verdicts: []string{"lost", "stuck"},
			seeds:    4000,
		},
	}
}
