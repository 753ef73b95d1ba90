// Package outboxtest helps to test what uses the outbox: a PostgreSQL database
// for each test, and in its subpackages doubles, fakes and a server.
package outboxtest
