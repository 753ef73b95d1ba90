// Package texts holds tests only: that what the documents say is so, and that
// the code keeps to the words of the glossary and to the rule of imports.
package texts
