// Package pgdb makes one call of the database: it takes a connection of a pool, runs what it is given, and sorts the
// error by what a caller can do about it. The stores of pgstore and pgadmin make all their calls through it.
package pgdb
