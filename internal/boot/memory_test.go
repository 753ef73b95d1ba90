package boot

import (
	"testing"
	"testing/fstest"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

func TestMemoryIsThatOfTheFunctionOrOfTheCgroup(t *testing.T) {
	t.Parallel()
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for name, c := range map[string]struct {
		process Process
		root    fstest.MapFS
		want    int64
	}{
		"of the function": {Process{MemoryMB: 128}, fstest.MapFS{"proc/self/cgroup": file("0::/a\n"), "sys/fs/cgroup/a/memory.max": file("1000\n")}, 128 << 20},
		"neither":         {Process{}, fstest.MapFS{}, 0},
		"no limit":        {Process{}, fstest.MapFS{"proc/self/cgroup": file("0::/a\n"), "sys/fs/cgroup/a/memory.max": file("max\n")}, 0},
		"version 2": {Process{}, fstest.MapFS{
			"proc/self/cgroup": file("0::/a/b\n"), "sys/fs/cgroup/a/b/memory.max": file("3000\n"), "sys/fs/cgroup/a/memory.max": file("2000\n"),
		}, 2000},
		"of a container": {Process{}, fstest.MapFS{"proc/self/cgroup": file("0::/\n"), "sys/fs/cgroup/memory.max": file("5000\n")}, 5000},
		"version 1": {Process{}, fstest.MapFS{
			"proc/self/cgroup": file("5:cpu:/a\n4:memory:/a\n0::/\n"),
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes":       file("4000\n"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes":         file("9223372036854771712\n"),
			"sys/fs/cgroup/cpu/a/memory.limit_in_bytes":          file("1\n"),
			"sys/fs/cgroup/memory/another/memory.limit_in_bytes": file("2\n"),
		}, 4000},
	} {
		if got := c.process.memory(c.root); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestWindowFollowsTheMemory(t *testing.T) {
	t.Parallel()
	for mb, want := range map[int]int{
		0: relay.DefaultWindowBytes, 128: 19 << 20, 256: 55 << 20, 512: relay.DefaultWindowBytes, 1769: relay.DefaultWindowBytes, 10: minWindowBytes,
	} {
		p := Process{MemoryMB: mb}
		if got := windowBytes(p.heapLimit(fstest.MapFS{})); got > want || got < want-1<<20 {
			t.Errorf("%d MB: a window of %d bytes, want %d", mb, got, want)
		}
	}
}

func TestWindowOfTheVariableIsTaken(t *testing.T) {
	t.Parallel()
	r := Relay{Process: Process{MemoryMB: 128}, WindowBytes: 7}
	if got := r.Config().WindowBytes; got != 7 {
		t.Errorf("window of %d bytes", got)
	}
	r.WindowBytes = 0
	if got := r.Config().WindowBytes; got != windowBytes(96<<20) {
		t.Errorf("window of %d bytes", got)
	}
}
