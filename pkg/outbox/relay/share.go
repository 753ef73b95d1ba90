package relay

// pool is the part of the window that belongs to no destination: destinations that need more than their own share
// borrow from it. One pool counts events, another one bytes.
type pool struct {
	// size is how much there is to lend, lent how much is. A late row may make lent exceed size.
	size, lent int
}

// share is how much of the window one destination uses, in events or in bytes. own is what it may use whatever the
// others do; more is borrowed from the pool.
type share struct {
	own, used int
	pool      *pool
}

// shares returns a function that makes the share of one of n destinations in a window of the given size. With one
// destination the window is its own. Otherwise half of the window is divided equally, and the other half is the pool.
func shares(window, n int) func() share {
	p := &pool{}
	if n > 1 {
		p.size = window / 2
	}
	return func() share { return share{own: max(1, (window-p.size)/n), pool: p} }
}

// add changes what is used by n, which is negative for what is not used any more.
func (s *share) add(n int) {
	before := s.borrowed()
	s.used += n
	s.pool.lent += s.borrowed() - before
}

// borrowed returns how much is used beyond the own share.
func (s *share) borrowed() int { return max(0, s.used-s.own) }

// limit returns how much may be used now: the own share, and half of what the others have left in the pool. A
// destination that stands still with all that it was lent leaves the other half to the rest, and each of them leaves
// half of that, so that one that begins to borrow always finds something.
func (s *share) limit() int { return s.own + max(0, s.pool.size-s.pool.lent+s.borrowed())/2 }

// full says whether the limit is reached.
func (s *share) full() bool { return s.used >= s.limit() }

// half says whether more than half of the limit is used.
func (s *share) half() bool { return s.used > s.limit()/2 }
