package relay

import "time"

// backoff returns how long to wait after the n-th failure in a row (n from 1). The bound is lo, 2 lo, 4 lo … up
// to hi; the result is between half of the bound and the bound: half plus the share spread (0 to 1, random) of
// the other half, so that many lanes do not come back at once.
func backoff(n int, lo, hi time.Duration, spread float64) time.Duration {
	d := hi
	if shift := n - 1; shift < 30 && lo<<shift < hi {
		d = lo << shift
	}
	return d/2 + time.Duration(spread*float64(d/2))
}
