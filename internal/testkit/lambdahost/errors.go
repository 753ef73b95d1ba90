//go:build unix

package lambdahost

import (
	"encoding/json"
	"errors"
	"fmt"
)

var (
	// ErrThrottled means that Config.MaxConcurrency environments are busy. Nothing was run.
	ErrThrottled = errors.New("rate exceeded")
	// ErrClosed means that the function was closed. Nothing was run.
	ErrClosed = errors.New("function is closed")
	// ErrExpired means that an asynchronous event was dropped because of its age. Nothing was run.
	ErrExpired = errors.New("event is too old")
	// ErrNotRunning means that no process runs the invocation.
	ErrNotRunning = errors.New("invocation is not running")
)

// The types of error that Lambda itself makes, beside those of the function.
const (
	// TypeTimeout: the invocation was killed at its deadline.
	TypeTimeout = "Sandbox.Timedout"
	// TypeExit: the process ended before it answered.
	TypeExit = "Runtime.ExitError"
)

// FunctionError is the error of an invocation whose process reported an error, ended or took too long, in the handler
// or before it, while the process started. The process has ended, except after an error that the handler returned: then
// it is used again.
type FunctionError struct {
	RequestID string
	// Type is TypeTimeout, TypeExit, Runtime.Unknown, or the type that the function reported.
	Type    string
	Message string
}

// Error returns the type and the message.
func (e *FunctionError) Error() string { return e.Type + ": " + e.Message }

// exitError returns the error of an invocation whose process ended; cause is what Wait returned, nil for exit code 0.
func exitError(requestID string, cause error) *FunctionError {
	return &FunctionError{
		RequestID: requestID, Type: TypeExit,
		Message: fmt.Sprintf("RequestId: %s Error: Runtime exited with error: %v", requestID, cause),
	}
}

// reportedError returns the error in a body that the process posted, of the type Runtime.Unknown when body is no JSON.
func reportedError(requestID string, body []byte) *FunctionError {
	var report struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}
	if err := json.Unmarshal(body, &report); err != nil {
		return &FunctionError{RequestID: requestID, Type: "Runtime.Unknown", Message: string(body)}
	}
	return &FunctionError{RequestID: requestID, Type: report.Type, Message: report.Message}
}
