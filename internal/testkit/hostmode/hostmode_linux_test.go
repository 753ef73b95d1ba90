package hostmode

import (
	"bufio"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestListensOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	needLocalStack(t)
	s, err := Start(t.Context(), Config{Output: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	ips := listening(t, s.pid)
	if len(ips) == 0 {
		t.Fatal("found no listening socket of LocalStack")
	}
	for _, ip := range ips {
		if !ip.IsLoopback() {
			t.Errorf("LocalStack listens on %s", ip)
		}
	}
}

// listening returns the addresses that a process group listens on.
func listening(t *testing.T, pgid int) []net.IP {
	t.Helper()
	inodes := sockets(t, pgid)
	var ips []net.IP
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			fields := strings.Fields(lines.Text())
			const listen = "0A"
			if len(fields) < 10 || fields[3] != listen || !slices.Contains(inodes, fields[9]) {
				continue
			}
			address, _, _ := strings.Cut(fields[1], ":")
			ip, err := hex.DecodeString(address)
			if err != nil {
				t.Fatal(err)
			}
			// The kernel prints each 32-bit word in the host's order.
			for word := range slices.Chunk(ip, 4) {
				slices.Reverse(word)
			}
			ips = append(ips, net.IP(ip))
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	return ips
}

// sockets returns the inodes of the sockets that a process group holds.
func sockets(t *testing.T, pgid int) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	var inodes []string
	for _, link := range links {
		pid, err := strconv.Atoi(strings.Split(link, "/")[2])
		if err != nil {
			t.Fatal(err)
		}
		if group, gone := syscall.Getpgid(pid); gone != nil || group != pgid {
			continue
		}
		target, err := os.Readlink(link)
		if err != nil {
			continue // closed meanwhile
		}
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			inodes = append(inodes, strings.TrimSuffix(inode, "]"))
		}
	}
	return inodes
}
