//go:build unix

// Package lambdahost runs compiled Lambda functions on this machine, without
// Docker: the bootstrap program of a provided.al2023 function is a process that
// asks a Runtime API for its next invocation, and this package is that API.
//
// It keeps the rules that a function can feel. An execution environment is one
// process and has one invocation at a time; idle ones are used again, new ones
// are started up to the concurrency that is allowed, and what comes on top is
// throttled. A process that is still busy at its deadline is killed with
// SIGKILL. Between invocations it is frozen (SIGSTOP). A throttled asynchronous
// event is tried again until it expires; a failed one is not tried again.
//
// It does not bound memory or processor time, nor the size of payloads.
//
// The protocol: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html.
package lambdahost
