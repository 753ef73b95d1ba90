package boot

import (
	"io/fs"
	"math"
	"path"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

const (
	// outsideBytes is the least memory, in bytes, that is left beside what Go counts: for the pages of the program, and
	// for what it takes beyond its limit before the collector has ended.
	outsideBytes = 32 << 20
	// restBytes is the memory, in bytes, of a relay without events: the program, its connections and their buffers.
	restBytes = 40 << 20
	// windowParts is how many times the window fits into what the heap has beyond restBytes. The other two parts are for
	// what is read, half of the window (its rows and the messages made of them), for requests in flight, three quarters
	// (a quarter of the window, in a form that has up to three times the bytes), and for what awaits the collector.
	windowParts = 3
	// minWindowBytes is the least window: four messages of the largest size.
	minWindowBytes = 4 << 20
)

// memory returns the memory of the process in bytes: that of the Lambda function, or else the limit of its memory
// cgroup, which it finds in the files of the root directory. It returns 0 where there is neither.
func (p *Process) memory(root fs.FS) int64 {
	if p.MemoryMB > 0 && p.MemoryMB <= math.MaxInt32 {
		return int64(p.MemoryMB) << 20
	}
	return cgroupLimit(root)
}

// heapLimit returns the memory in bytes that Go may use: what GOMEMLIMIT says, or else four fifths of the process's
// memory, or all but outsideBytes where that is less, and at least half. It returns 0 where nothing is known.
func (p *Process) heapLimit(root fs.FS) int64 {
	if p.GOMEMLIMIT != "" {
		if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
			return limit
		}
	}
	memory := p.memory(root)
	return max(memory/2, min(memory/5*4, memory-outsideBytes))
}

// windowBytes returns the bytes of messages that a relay may buffer with the given limit of the heap, so that they, what
// is read and what is in flight stay below it: [relay.DefaultWindowBytes] where there is memory for that, and for 0,
// which is no limit.
func windowBytes(heap int64) int {
	if heap <= 0 {
		return relay.DefaultWindowBytes
	}
	return int(min(max((heap-restBytes)/windowParts, minWindowBytes), relay.DefaultWindowBytes))
}

// cgroupLimit returns the lowest memory limit, in bytes, of the process's cgroup and those above it. It returns 0 where
// there is none, and where the system has no cgroups.
func cgroupLimit(root fs.FS) int64 {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	lowest := int64(0)
	for line := range strings.Lines(string(text)) {
		// A line is "4:memory:/path" in version 1, and "0::/path" in version 2.
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		mount, file := "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		if parts[1] == "" {
			mount, file = "sys/fs/cgroup", "memory.max"
		} else if parts[1] != "memory" {
			continue
		}
		for dir := path.Clean("/" + parts[2]); ; dir = path.Dir(dir) {
			if limit := readLimit(root, path.Join(mount, dir, file)); limit > 0 && (lowest == 0 || limit < lowest) {
				lowest = limit
			}
			if dir == "/" {
				break
			}
		}
	}
	return lowest
}

// unlimited is the least number by which version 1 of cgroups says that there is no limit.
const unlimited = math.MaxInt64 &^ (1<<20 - 1)

// readLimit returns the number in a file of a cgroup, 0 where it is missing, has no number, or means no limit.
func readLimit(root fs.FS, name string) int64 {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0
	}
	limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || limit >= unlimited {
		return 0
	}
	return limit
}
