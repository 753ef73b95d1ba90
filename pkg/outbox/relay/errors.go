package relay

import "errors"

// ErrLeaseLost means that another relay took the lease over: no event may be
// sent or settled under the old relay id any more.
var ErrLeaseLost = errors.New("lease lost")
