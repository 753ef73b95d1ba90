// Package view writes what the commands show, as text for people and as JSON for programs. The names of JSON fields
// never change.
package view
