//go:build unix

// Package pgserver finds or starts a PostgreSQL server for tests, benchmarks and demos.
//
// A server that it starts belongs to the process that started it: it ends with that process, however the process
// ends, and its temporary directory goes with it. A small shell script supervises the server and waits on a pipe that
// only the process holds, so the end of the process, kill -9 included, is the end of the pipe and then of the server.
//
// PostgreSQL refuses to run as root. When the process is root, the server runs as an
// unprivileged user of the system: see [process.Unprivileged].
package pgserver
