package boot

import (
	"io"
	"io/fs"
	"os"
	"runtime/debug"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/telemetry"
)

// Process is what every function is configured with: the level of its log, and the name and memory that Lambda gives
// it. GOGC and GOMEMLIMIT are read to know whether they are set; Go reads their values itself.
type Process struct {
	LogLevel       LogLevel `env:"OUTBOX_LOG_LEVEL"`
	LambdaLogLevel LogLevel `env:"AWS_LAMBDA_LOG_LEVEL"`
	FunctionName   string   `env:"AWS_LAMBDA_FUNCTION_NAME"`
	MemoryMB       int      `env:"AWS_LAMBDA_FUNCTION_MEMORY_SIZE"`
	GOGC           string   `env:"GOGC"`
	GOMEMLIMIT     string   `env:"GOMEMLIMIT"`
}

// gcPercent is by how many percent the heap grows beyond what is live before it is collected. Draining a backlog took
// 265 MB with it, where Go's default of 100 took 116 MB, and a quarter less processor time. With the collector off, the
// heap touches new pages all the time, which was a third of a profile (docs/performance.md).
const gcPercent = 400

// TuneMemory sets Go's collector for the whole process: the heap may grow to five times what is live, and the
// collector runs more often where Go's memory comes near heapLimit. It does nothing when GOGC or GOMEMLIMIT is set, or
// where the process has no limit of memory.
func (p *Process) TuneMemory() {
	if limit, ok := p.memoryLimit(os.DirFS("/")); ok {
		debug.SetMemoryLimit(limit)
		debug.SetGCPercent(gcPercent)
	}
}

// memoryLimit returns heapLimit, and false where TuneMemory is to do nothing.
func (p *Process) memoryLimit(root fs.FS) (int64, bool) {
	if p.GOGC != "" || p.GOMEMLIMIT != "" {
		return 0, false
	}
	limit := p.heapLimit(root)
	return limit, limit > 0
}

// metrics returns an observer that writes metrics to w in a CloudWatch namespace, under the name of the function, as
// the alarms and dashboards of template.yaml expect them.
func (p *Process) metrics(w io.Writer, namespace string) *telemetry.EMF {
	return telemetry.NewEMF(w, namespace, map[string]string{"FunctionName": p.FunctionName})
}

// connections are what a function keeps connected from one invocation to the next: its AWS clients and its pool.
type connections struct {
	aws  *AWS
	pool *pgxpool.Pool // nil while the function has not needed the database
}

// Thaw drops the idle HTTP connections, which AWS has closed by now. The pool needs no such call: it pings
// a database connection that was idle before it uses it.
func (c *connections) Thaw() { c.aws.HTTP.CloseIdleConnections() }

// Close closes the pool, if there is one, and the idle HTTP connections.
func (c *connections) Close() {
	if c.pool != nil {
		c.pool.Close()
	}
	c.aws.HTTP.CloseIdleConnections()
}
