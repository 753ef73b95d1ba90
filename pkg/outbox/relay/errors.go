package relay

import "errors"

// ErrLeaseLost means that another relay took the lease over. Nothing may be
// sent or settled under it any more.
var ErrLeaseLost = errors.New("lease lost")
