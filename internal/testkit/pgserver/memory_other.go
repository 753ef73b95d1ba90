//go:build unix && !linux

package pgserver

// memoryDir returns "": only Linux has a folder in memory under a known name.
func memoryDir() string { return "" }
