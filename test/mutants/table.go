package main

import "slices"

// mutants returns all deliberate bugs.
func mutants() []mutant {
	return slices.Concat(leases(), sending(), reading(), handOver())
}

func leases() []mutant {
	return []mutant{
		{
			"skip the fence", "a relay marks events after its lease was taken over",
			[]edit{{double + "reader.go", "if s.relays[relayID] == nil {\n\t\treturn relay.Settled{Fenced: true}\n\t}", ""}},
			[]string{"marked_without_lease"},
			0,
		},
		{
			"reuse a lease after a freeze", "no look at the lease before a call starts",
			[]edit{{engine + "lease.go", "return end.Before(*valid) && end.Round(0).Before(valid.Round(0))", "return end.After(time.Time{})"}},
			[]string{"no_lease", "reordered", "duplicated"},
			0,
		},
		{
			"send after a lost lease", "the answer that the lease is lost is taken for a renewal",
			[]edit{{engine + "lease.go", "l.end(LeaseLost, now)\n\t\tl.outcome = LeaseLost", "valid := now.Add(l.cfg.LeaseTTL)\n\t\tl.lease.valid.Store(&valid)\n\t\tl.lease.renewAt = now.Add(renewRetry)"}},
			[]string{"no_lease", "reordered", "duplicated"},
			0,
		},
		{
			"count the lease from its answer", "a lease whose answer came late is taken to last",
			[]edit{{engine + "lease.go", "valid := sent.Add(l.cfg.LeaseTTL)", "valid := now.Add(l.cfg.LeaseTTL)"}},
			[]string{"no_lease"},
			0,
		},
		{
			"mix the clocks", "the end of the lease by the database's clock is compared with the relay's",
			[]edit{{engine + "lease.go", "valid := sent.Add(l.cfg.LeaseTTL)", "valid := got.Now.Add(l.cfg.LeaseTTL)"}},
			[]string{"no_lease", "stuck"},
			0,
		},
		{
			"forget the offset of the clocks", "latencies mix the database's clock with the relay's",
			[]edit{{engine + "send.go", "at.Add(l.lease.offset).Sub(it.rec.CreatedAt)", "at.Sub(it.rec.CreatedAt)"}},
			[]string{"wrong_clock"},
			0,
		},
	}
}

func sending() []mutant {
	return []mutant{
		{
			"ignore failed entries", "a batch that was accepted in part counts as accepted",
			[]edit{{engine + "send.go", "l.result(it, resultAt(results, i), at)", "r := resultAt(results, i)\n\t\tif classes[outbox.Accepted] > 0 {\n\t\t\tr.Class = outbox.Accepted\n\t\t}\n\t\tl.result(it, r, at)"}},
			[]string{"marked_not_accepted", "mismarked"},
			0,
		},
		{
			"settle before accept", "events are marked before they are sent",
			[]edit{{engine + "send.go", "results := d.sink.Publish(ctx, msgs)", "var early Settlement\n\t\tfor _, it := range batch {\n\t\t\tearly.Accepted = append(early.Accepted, Accepted{ID: it.rec.ID})\n\t\t}\n\t\t_, _ = l.store.Settle(ctx, l.cfg.RelayID, early)\n\t\tresults := d.sink.Publish(ctx, msgs)"}},
			[]string{"marked_not_accepted", "sent_settled"},
			0,
		},
		{
			"mark on timeout", "an unknown outcome counts as accepted",
			[]edit{{engine + "send.go", "l.stats.result(d, r.Class)\n", "if r.Class == outbox.Unknown {\n\t\tr.Class = outbox.Accepted\n\t}\n\tl.stats.result(d, r.Class)\n"}},
			[]string{"marked_not_accepted"},
			0,
		},
		{
			"new deduplication id on retry", "the broker cannot know a resend",
			[]edit{{engine + "send.go", "it.state, it.tried = inFlight, true", "if it.tried {\n\t\t\tit.msg.DeduplicationID += \"'\"\n\t\t}\n\t\tit.state, it.tried = inFlight, true"}},
			[]string{"deduplication_changed"},
			0,
		},
		{
			"let a group overtake", "after a failure the next event of the lane goes first",
			[]edit{{engine + "send.go", "l.waiting.wait(lane, now.Add(backoff(lane.failures", "if n := len(lane.queue); n > 1 {\n\t\tlane.queue = append(lane.queue[1:n:n], lane.queue[0])\n\t}\n\tl.waiting.wait(lane, now.Add(backoff(lane.failures"}},
			[]string{"reordered"},
			0,
		},
		{
			"two in flight per lane", "two events of a lane go in one batch",
			[]edit{
				{engine + "destination.go", "batch = append(batch, it)", "batch = append(batch, it)\n\t\tif len(l.queue) > 1 && len(batch) < d.limits.Entries && l.queue[1].fault == nil && l.queue[1].state == queued {\n\t\t\tsize += l.queue[1].msg.Size\n\t\t\tbatch = append(batch, l.queue[1])\n\t\t}"},
				{engine + "send.go", "it.state = unsettled\n\t\tlane.pop()", "it.state = unsettled\n\t\tlane.queue = slices.DeleteFunc(slices.Clone(lane.queue), func(x *item) bool { return x == it })"},
				{engine + "send.go", "func (l *loop) retry(lane *lane, now time.Time) {", "func (l *loop) retry(lane *lane, now time.Time) {\n\tif lane.heapIndex >= 0 {\n\t\treturn\n\t}"},
				{engine + "send.go", "func (l *loop) next(lane *lane) {", "func (l *loop) next(lane *lane) {\n\tl.waiting.end(lane)"},
			},
			[]string{"reordered"},
			0,
		},
		{
			"return with a sender alive", "the run ends while calls are under way",
			[]edit{{engine + "loop.go", "if !l.ending || l.outstanding > 0 {", "if !l.ending {"}},
			[]string{"left_running", "duplicated", "released_unsettled"},
			0,
		},
		{
			"forget what could not be marked", "a settlement that failed is not tried again",
			[]edit{{engine + "settle.go", "l.settle.putBack(items, outcomes)", "for _, it := range items {\n\t\tl.window.busy[it.lane.shard]--\n\t\tl.forgetSettled(it)\n\t}"}},
			[]string{"duplicated", "accepted_not_marked", "released_unsettled", "lost"},
			0,
		},
	}
}

func reading() []mutant {
	return []mutant{
		{
			"cursor without gaps", "ids that were not visible are not looked at again",
			[]edit{{engine + "gaps.go", "if from > to {\n\t\treturn\n\t}\n\tat :=", "if from > 0 {\n\t\treturn\n\t}\n\tat :="}},
			[]string{"lost", "stuck"},
			0,
		},
		{
			"drop the late commit", "rows found in gaps are not taken in",
			[]edit{{engine + "admit.go", "\trec := it.rec\n\tif !l.lease.works", "\trec := it.rec\n\tif src == fromGap {\n\t\treturn\n\t}\n\tif !l.lease.works"}},
			[]string{"lost", "stuck"},
			0,
		},
		{
			"end a backfill early", "what a lane left in the table is read once",
			[]edit{{engine + "takein.go", "if lane.from = next; next == 0 {", "if lane.from = 0; lane.from == 0 {"}},
			[]string{"lost", "stuck", "reordered"},
			0,
		},
		{
			"read ahead of a catch-up", "new rows of a shard gained overtake those its last holder left",
			[]edit{{engine + "admit.go", "if src != fromCatchUp && src != fromLane && l.reader.catchingUp(rec.Shard, rec.ID) {", "if src == fromDestination && l.reader.catchingUp(rec.Shard, rec.ID) {"}},
			[]string{"reordered", "lost", "stuck"},
			0,
		},
		{
			"forget what a fetch may have read", "an event is forgotten while a fetch that read it as unsent is under way",
			[]edit{{engine + "settle.go", "if l.reader.fetching {", "if l.reader.fetching && it == nil {"}},
			[]string{"sent_settled", "duplicated"},
			1000,
		},
	}
}

func handOver() []mutant {
	return []mutant{
		{
			"position without a low-water mark", "the next holder resumes above what is not settled",
			[]edit{{engine + "loop.go", "low := l.window.lowest(l.reader.head + 1)", "low := l.reader.head + 1"}},
			[]string{"lost", "stuck"},
			0,
		},
		{
			"give a shard back too early", "shards are released with events under way",
			[]edit{{engine + "lease.go", "if l.window.busy[s] == 0 {", "if l.window.busy[s] <= 1 {"}},
			[]string{"released_unsettled", "two_in_flight"},
			0,
		},
		{
			"forget the gaps of a shard given back", "late rows of a draining shard are passed over for good",
			[]edit{
				{engine + "loop.go", "low = min(low, pinned.Low)", "low = min(low, pinned.Low+0*low+1<<40)"},
				{engine + "loop.go", "if g.From <= low {", "if g.From < 0 {"},
			},
			[]string{"lost", "stuck"},
			0,
		},
		{
			"hold deleted before its lane is read", "the hold goes at once, and what it hid is not looked for",
			[]edit{
				{engine + "lease.go", "lane.resume, lane.search, lane.release = true, true, r\n", "lane.resume, lane.search, lane.release = true, false, r\n\tl.lease.resumed[r.Lane] = r\n"},
				{engine + "lease.go", "l.window.leave(lane, 1)", "l.window.leave(lane, l.reader.head+1)"},
			},
			[]string{"lost", "stuck", "reordered"},
			0,
		},
		{
			"hold deleted while its lane is searched", "the hold goes before the first row of the lane is known",
			[]edit{{engine + "lease.go", "lane.resume, lane.search, lane.release = true, true, r\n", "lane.resume, lane.search, lane.release = true, true, r\n\tl.lease.resumed[r.Lane] = r\n"}},
			[]string{"lost", "stuck", "reordered"},
			4000,
		},
		{
			"hold deleted before its lane is read to the end", "the search for the first row ends with its first page",
			[]edit{{engine + "takein.go", "lane.from = next\n\t\treturn\n\tdefault:", "lane.from = l.reader.head + 1\n\tdefault:"}},
			[]string{"lost", "stuck", "reordered"},
			0,
		},
		{
			"hold deleted without a position", "the position does not allow for a lane that is resumed",
			[]edit{{engine + "window.go", "if !l.search {", "if !l.search && !l.resume {"}},
			[]string{"lost", "stuck"},
			1000,
		},
		{
			"give up what a hold hides in a gap", "a row on hold that was found in a gap is not left for its lane",
			[]edit{{engine + "takein.go", "lane.bound = min(lane.bound, h.ID-1)\n\t\t\tl.window.leave(lane, h.ID)", "_ = lane"}},
			[]string{"lost", "stuck", "reordered"},
			8000,
		},
	}
}
