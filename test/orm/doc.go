// Package orm holds Examples only: how to enqueue in a transaction of gorm and
// of sqlx. It is a module of its own, so that neither is a dependency of the
// outbox.
package orm
