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
			[]edit{{engine + "window.go", "it.state, it.tried = inFlight, true", "if it.tried {\n\t\tit.msg.DeduplicationID += \"'\"\n\t}\n\tit.state, it.tried = inFlight, true"}},
			[]string{"deduplication_changed"},
			0,
		},
		{
			"let a group overtake", "after a failure the next event of the lane goes first",
			[]edit{{engine + "send.go", "l.backingOff.add(lane, now.Add(backoff(lane.failures", "if n := len(lane.queue); n > 1 {\n\t\tlane.queue = append(lane.queue[1:n:n], lane.queue[0])\n\t}\n\tl.backingOff.add(lane, now.Add(backoff(lane.failures"}},
			[]string{"reordered"},
			0,
		},
		{
			"two in flight per lane", "two events of a lane go in one batch",
			[]edit{
				{engine + "destination.go", "batch = append(batch, it)", "batch = append(batch, it)\n\t\tif len(l.queue) > 1 && len(batch) < d.limits.Entries && l.queue[1].fault == nil && l.queue[1].state == queued {\n\t\t\tsize += l.queue[1].msg.Size\n\t\t\tbatch = append(batch, l.queue[1])\n\t\t}"},
				{engine + "send.go", "l.window.accept(it)", "it.state = unsettled\n\t\tlane.queue = slices.DeleteFunc(slices.Clone(lane.queue), func(x *item) bool { return x == it })"},
				{engine + "send.go", "func (l *loop) retry(lane *lane, now time.Time) {", "func (l *loop) retry(lane *lane, now time.Time) {\n\tif lane.heapIndex >= 0 {\n\t\treturn\n\t}"},
				{engine + "send.go", "func (l *loop) next(lane *lane) {", "func (l *loop) next(lane *lane) {\n\tl.backingOff.remove(lane)"},
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
			[]edit{{engine + "settle.go", "l.settle.putBack(items)", "for _, it := range items {\n\t\tl.window.settled(it)\n\t\tl.forgetSettled(it)\n\t}"}},
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
			[]edit{{engine + "deferral.go", "if next == 0 {", "if l.deferred.from = 0; next >= 0 {"}},
			[]string{"lost", "stuck", "reordered"},
			0,
		},
		{
			"read ahead of a catch-up", "new rows of a shard gained overtake those its last holder left",
			[]edit{{engine + "admit.go", "if src != fromCatchUp && src != fromLane && l.cursor.catchingUp(rec.Shard, rec.ID) {", "if src == fromDestination && l.cursor.catchingUp(rec.Shard, rec.ID) {"}},
			[]string{"reordered", "lost", "stuck"},
			0,
		},
		{
			"forget what a fetch may have read", "an event is forgotten while a fetch that read it as unsent is under way",
			[]edit{{engine + "settle.go", "if l.fetcher.running {", "if l.fetcher.running && it == nil {"}},
			[]string{"sent_settled", "duplicated"},
			1000,
		},
	}
}

func handOver() []mutant {
	return []mutant{
		{
			"position without a low-water mark", "the next holder resumes above what is not settled",
			[]edit{{engine + "loop.go", "l.cursor.position(l.window.lowest())", "l.cursor.position(noID)"}},
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
				{engine + "cursor.go", "low = min(low, pinned.Low)", "low = min(low, pinned.Low+0*low+1<<40)"},
				{engine + "cursor.go", "if g.From <= low {", "if g.From < 0 {"},
			},
			[]string{"lost", "stuck"},
			0,
		},
		{
			"lane unblocked before it is read", "its row in outbox.blocked goes at once, and the first row of the lane is not looked for",
			[]edit{
				{engine + "released.go", "l.deferred.release, l.deferred.lane = searching, r", "l.deferred.release, l.deferred.lane = found, r"},
				{engine + "released.go", "c.deferLane(l, 1)", "c.deferLane(l, c.head+1)"},
			},
			[]string{"lost", "stuck", "reordered"},
			0,
		},
		{
			"lane unblocked while it is searched", "its row in outbox.blocked goes before the first row of the lane is known",
			[]edit{{engine + "released.go", "if l.deferred.release == found {\n\t\t\tout", "if l.deferred.release != notReleased {\n\t\t\tout"}},
			[]string{"lost", "stuck", "reordered"},
			4000,
		},
		{
			"lane unblocked before it is searched to the end", "the search for the first row ends with its first page",
			[]edit{{engine + "released.go", "l.deferred.from = got.Next\n\t\treturn false", "l.deferred.from = c.head + 1"}},
			[]string{"lost", "stuck", "reordered"},
			0,
		},
		{
			"lane unblocked without a position", "the position does not allow for a lane that was released",
			[]edit{{engine + "cursor.go", "if lane.deferred.release != searching {", "if lane.deferred.release == notReleased {"}},
			[]string{"lost", "stuck"},
			1000,
		},
		{
			"give up a blocked row in a gap", "a row of a blocked lane that was found in a gap is not deferred",
			[]edit{{engine + "takein.go", "l.cursor.deferBlocked(l.window.lane(row.Lane, row.Shard, d), row.ID)", "_ = row"}},
			[]string{"lost", "stuck", "reordered"},
			8000,
		},
	}
}
