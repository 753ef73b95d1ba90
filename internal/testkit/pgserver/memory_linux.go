package pgserver

import "syscall"

// tmpfs is the type that statfs tells of a file system in memory, from linux/magic.h.
const tmpfs = 0x01021994

// memoryRoom is the free space, in bytes, from which a file system in memory is used: the databases of a whole suite
// with room for a backlog of a million events. A container has 64 MiB there unless it was given more.
const memoryRoom = 8 << 30

// memoryDir returns a folder in memory that every user may write to and that has room for a server's data, or ""
// where there is none.
func memoryDir() string {
	const dir = "/dev/shm"
	var fs syscall.Statfs_t
	if syscall.Statfs(dir, &fs) != nil || fs.Type != tmpfs || int64(fs.Bavail)*fs.Bsize < memoryRoom { //nolint:gosec // Bytes of a real file system fit.
		return ""
	}
	return dir
}
