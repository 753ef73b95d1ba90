package relay

// WithSpread returns cfg with back-offs spread by f instead of by chance.
func WithSpread(cfg Config, f func() float64) Config {
	cfg.spread = f
	return cfg
}

// WithExamine returns cfg with backfills that look at n rows each.
func WithExamine(cfg Config, n int) Config {
	cfg.examine = n
	return cfg
}

// WithGapIDs returns cfg with fetches that read gaps of up to n ids each time.
func WithGapIDs(cfg Config, n int64) Config {
	cfg.gapIDs = n
	return cfg
}

// WithLanes returns cfg with f called, from the relay's goroutine, for each
// change of a lane's state that the diagram in doc.go does not have.
func WithLanes(cfg Config, f func(from, to string)) Config {
	cfg.watchLanes = func(from, to laneState) {
		if !from.leadsTo(to) {
			f(from.String(), to.String())
		}
	}
	return cfg
}

// leadsTo is the diagram in doc.go.
func (s laneState) leadsTo(to laneState) bool {
	switch s {
	case resting:
		return to == ready
	case ready:
		return to == sending || to == resting
	case sending:
		return to != ready && to != sending
	case backingOff, burying, blocked:
		return to == resting
	}
	return false
}

func (s laneState) String() string {
	return [...]string{"resting", "ready", "sending", "backingOff", "burying", "blocked"}[s]
}
