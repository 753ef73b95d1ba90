package boot

import (
	"math"
	"runtime/debug"
)

// Process is what Lambda says of the process of a function, and how to log.
type Process struct {
	LogLevel       LogLevel `env:"OUTBOX_LOG_LEVEL"`
	LambdaLogLevel LogLevel `env:"AWS_LAMBDA_LOG_LEVEL"`
	FunctionName   string   `env:"AWS_LAMBDA_FUNCTION_NAME"`
	MemoryMB       int      `env:"AWS_LAMBDA_FUNCTION_MEMORY_SIZE"`
	GOGC           string   `env:"GOGC"`
	GOMEMLIMIT     string   `env:"GOMEMLIMIT"`
}

// gcPercent is how far the heap grows beyond what is live before it is collected. A drain took
// 265 MB with it, where Go's default of 100 takes 116 MB, and a quarter less processor time. Without
// collection the heap touches new pages all the time, which was a third of a profile
// (docs/performance.md).
const gcPercent = 400

// TuneMemory lets the heap grow to five times what is live, and to four fifths
// of the function's memory at most. It does nothing when GOGC or GOMEMLIMIT is
// set, or outside Lambda.
func (p *Process) TuneMemory() {
	if limit, ok := p.memoryLimit(); ok {
		debug.SetMemoryLimit(limit)
		debug.SetGCPercent(gcPercent)
	}
}

// memoryLimit returns the limit of the heap in bytes, and false where none is set.
func (p *Process) memoryLimit() (int64, bool) {
	if p.MemoryMB <= 0 || p.MemoryMB > math.MaxInt32 || p.GOGC != "" || p.GOMEMLIMIT != "" {
		return 0, false
	}
	return int64(p.MemoryMB) << 20 / 5 * 4, true
}
