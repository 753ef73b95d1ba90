// Package view shows what is known about the outbox: as text for people and as
// JSON whose field names stay as they are.
package view
