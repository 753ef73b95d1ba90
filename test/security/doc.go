// Package security holds what docs/security.md says about logins of a database that has an outbox: what each role may
// do, and that a login without a role can neither run code with the rights of another nor stop delivery.
package security
