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
