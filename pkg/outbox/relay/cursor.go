package relay

import (
	"math"
	"slices"
)

// cursor knows how far reading has come: which rows were read, and where unread rows may be. The loop reports
// to the cursor what a fetch brought and what was deferred, and asks it what to read next and where another
// relay would have to resume.
//
// An unsent row of a shard that this relay reads, unless it is a stray, is in one of these places: above head,
// in a gap, above a catch-up of its shard, deferred by its lane or its destination, or buffered. Rows of destinations
// that are not configured have no place: the relay that is configured for one reads its rows from the first on. The cursor knows all of these places but the last, which is the window.
type cursor struct {
	// started is set when the first shard was gained, which gives head its first value, and stays set.
	started bool
	// head is the highest id read; before the first scan it is the lowest position that the first gained shards
	// resume at. Rows above head come with the next scan.
	head int64
	// gaps are the ids up to head that were not visible when head passed them.
	gaps gaps
	// catchUps read the shards that were gained while running, from where their last owners stopped up to head.
	catchUps []*catchUp
	// destinations has what was deferred by each configured destination, by name. The field deferred of a
	// destination points to the same value.
	destinations map[string]*deferral
	// lanes is the set of the lanes that have deferred rows, or whose first row is searched for after an operator
	// released them.
	lanes map[*lane]struct{}
	// pins has, for each shard that drains, the position at which it began to drain. Rows of such a shard that
	// are found in gaps later are not admitted, although their ids leave the gaps, so its next owner needs the
	// gaps as they were.
	pins map[int]Position
	// sweep is how far the sweep has come.
	sweep sweep
}

// catchUp reads the rows of some gained shards above the id after, which moves up with each page, until it
// reaches head. It ends early when all of its shards drain.
type catchUp struct {
	after  int64
	shards []int
}

// newCursor returns a cursor that has read nothing, with the sweep s. The first gain gives it a position.
func newCursor(s sweep) cursor {
	return cursor{destinations: map[string]*deferral{}, lanes: map[*lane]struct{}{}, pins: map[int]Position{}, sweep: s}
}

// destination returns the deferral of the destination with the name, made if need be.
func (c *cursor) destination(name string) *deferral {
	d := c.destinations[name]
	if d == nil {
		d = &deferral{}
		c.destinations[name] = d
	}
	return d
}

// gain takes in shards that were gained, at least one, with the positions to resume them at: it adds the gaps of
// these positions. The first call sets head to the lowest of the positions. In every call, shards that resume
// below head get a catch-up, and each destination defers the rows up to head that their last owners read and did not
// settle.
func (c *cursor) gain(shards []ShardLease) {
	if !c.started {
		c.started, c.head = true, noID
		for _, s := range shards {
			c.head = min(c.head, s.Resume.Low)
		}
	}
	c.gaps.lookAgain()
	handedOver := &discovery{}
	for _, s := range shards {
		for _, g := range s.Resume.Gaps {
			// Ids above head come with the scan.
			c.gaps.add(g.From, min(g.To, c.head), handedOver)
		}
		for name, d := range c.destinations {
			if low := s.Resume.Lows[name]; low < min(s.Resume.Low, c.head) {
				d.add(low + 1)
			}
		}
		if s.Resume.Low >= c.head {
			continue
		}
		same := slices.IndexFunc(c.catchUps, func(u *catchUp) bool { return u.after == s.Resume.Low })
		if same < 0 {
			same = len(c.catchUps)
			c.catchUps = append(c.catchUps, &catchUp{after: s.Resume.Low})
		}
		c.catchUps[same].shards = append(c.catchUps[same].shards, s.Shard)
	}
}

// startOver forgets all but the sweep, which begins anew, as newCursor does. The deferrals of destinations stay the same
// values, and become empty.
func (c *cursor) startOver() {
	c.started, c.head = false, 0
	c.gaps, c.catchUps = gaps{}, nil
	for _, d := range c.destinations {
		d.first = 0
	}
	clear(c.lanes)
	clear(c.pins)
	c.sweep.resume = 0
}

// pin records at as the position of a shard that begins to drain, and takes the shard out of its catch-up.
// Until unpin the method position returns at or a lower position.
func (c *cursor) pin(shard int, at Position) {
	c.pins[shard] = at
	for _, u := range c.catchUps {
		u.shards = slices.DeleteFunc(u.shards, func(s int) bool { return s == shard })
	}
	c.catchUps = slices.DeleteFunc(c.catchUps, func(u *catchUp) bool { return len(u.shards) == 0 })
}

// unpin forgets the position of a shard that was given back.
func (c *cursor) unpin(shard int) { delete(c.pins, shard) }

// scanned takes in the rows that a scan read above the id after, which is head: ids that are missing between
// them become gaps of the discovery found, and the last row's id becomes head.
func (c *cursor) scanned(after int64, rows []Row, found *discovery) {
	last := after
	for i := range rows {
		c.gaps.add(last+1, rows[i].ID-1, found)
		last = rows[i].ID
	}
	c.head = max(c.head, last)
}

// caughtUp takes in the rows that the catch-up u read above the id after, and returns how many of them, from the
// first on, may be admitted: those up to head, as nothing may be read ahead of head. Missing ids become gaps of the
// discovery found. The catch-up ends at head, or with these rows unless there are more to bring. It returns 0 and does
// nothing when the catch-up ended since it was planned, because its shards drain.
func (c *cursor) caughtUp(u *catchUp, after int64, rows []Row, more bool, found *discovery) int {
	if !slices.Contains(c.catchUps, u) {
		return 0
	}
	last, n := after, 0
	for ; n < len(rows); n++ {
		c.gaps.add(last+1, min(rows[n].ID-1, c.head), found)
		if last = rows[n].ID; last > c.head {
			break
		}
	}
	if !more || last >= c.head {
		c.gaps.add(last+1, c.head, found)
		c.catchUps = slices.DeleteFunc(c.catchUps, func(x *catchUp) bool { return x == u })
		return n
	}
	u.after = last
	return n
}

// readTo returns the id up to which the rows of the shard were read: head, or where a catch-up of it stands.
func (c *cursor) readTo(shard int) int64 {
	id := c.head
	for _, u := range c.catchUps {
		if slices.Contains(u.shards, shard) {
			id = min(id, u.after)
		}
	}
	return id
}

// catchingUp says whether a catch-up of the shard is still to bring the row with the id.
func (c *cursor) catchingUp(shard int, id int64) bool {
	for _, u := range c.catchUps {
		if id > u.after && slices.Contains(u.shards, shard) {
			return true
		}
	}
	return false
}

// goBack has all unsent rows above the id read again, in order, each destination for itself: late rows are among them.
// Searches of lanes that have come further go back as well. The backfills of a fetch under way must not be taken in
// after it: they may have passed over late rows.
func (c *cursor) goBack(id int64) {
	for _, d := range c.destinations {
		d.add(id + 1)
	}
	for lane := range c.lanes {
		lane.deferred.lower(id + 1)
		lane.deferred.bound = min(lane.deferred.bound, id)
	}
}

// position returns where another relay would have to resume the shards of this one. buffered has the lowest id of the
// buffered events of each destination that has any. It is the zero Position before the first shard was gained.
func (c *cursor) position(buffered map[string]int64) Position {
	if !c.started {
		return Position{}
	}
	p := Position{Low: c.head, Lows: make(map[string]int64, len(c.destinations))}
	for _, u := range c.catchUps {
		p.Low = min(p.Low, u.after)
	}
	for _, pinned := range c.pins {
		p.Low = min(p.Low, pinned.Low)
	}
	for name, d := range c.destinations {
		first := d.lowest(p.Low + 1)
		if id, any := buffered[name]; any {
			first = min(first, id)
		}
		for _, pinned := range c.pins {
			first = min(first, pinned.Lows[name]+1)
		}
		p.Lows[name] = first - 1
	}
	for lane := range c.lanes {
		// While a lane is searched it is blocked in the table, as released, so its next owner searches it again.
		if lane.deferred.release != searching {
			p.Lows[lane.key.Destination] = lane.deferred.lowest(p.Lows[lane.key.Destination]+1) - 1
		}
	}
	open := c.gaps.upTo(p.Low)
	for _, pinned := range c.pins {
		for _, g := range pinned.Gaps {
			if g.From <= p.Low {
				open = append(open, Range{g.From, min(g.To, p.Low)})
			}
		}
	}
	p.Gaps = joined(open)
	return p
}

// complete says whether no gap, no catch-up and nothing that a destination deferred is left: then every row up to head
// was read, or deferred by its lane.
func (c *cursor) complete() bool {
	for _, d := range c.destinations {
		if d.any() {
			return false
		}
	}
	return len(c.gaps.list) == 0 && len(c.catchUps) == 0
}

// noID is above every id: the lowest of no ids.
const noID = math.MaxInt64
