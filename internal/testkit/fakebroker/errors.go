package fakebroker

import "fmt"

// Error is the answer to a request, or to an entry of one, that is refused.
type Error struct {
	// Code is the error code of the Query protocol, which is also the code of a failed batch entry.
	Code string
	// Type is the error's shape in the JSON protocol, which SQS speaks. Answers of SNS do not have it.
	Type    string
	Message string
	// Status is the HTTP status.
	Status int
	// Sender says that the caller is to blame, and not the service.
	Sender bool
}

// Error returns the code and the message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Fault returns an error that the caller is to blame for, with status 400. shape is its Type; format and args make
// the message.
func Fault(code, shape, format string, args ...any) *Error {
	return &Error{Code: code, Type: shape, Message: fmt.Sprintf(format, args...), Status: 400, Sender: true}
}

// Modelled returns an error of SQS that the caller is to blame for, with status 400. shape is the name of the error,
// without the prefix that its Type has in JSON or that its Code has in the Query protocol.
func Modelled(shape, format string, args ...any) *Error {
	return Fault("AWS.SimpleQueueService."+shape, "com.amazonaws.sqs#"+shape, format, args...)
}

// InvalidParameterValue is the answer of SQS to most bad values.
func InvalidParameterValue(format string, args ...any) *Error {
	return Fault("InvalidParameterValue", "com.amazon.coral.service#InvalidParameterValueException", format, args...)
}

// MissingParameter is the answer of SQS to a required parameter left out.
func MissingParameter(name string) *Error {
	return Fault("MissingParameter", "com.amazon.coral.service#MissingRequiredParameterException",
		"The request must contain the parameter %s.", name)
}

// InvalidAttributeValue is the answer of SQS to a bad value of a queue attribute.
func InvalidAttributeValue(format string, args ...any) *Error {
	return Fault("InvalidAttributeValue", "com.amazonaws.sqs#InvalidAttributeValue", format, args...)
}

// InvalidAttributeName is the answer of SQS to a name of a queue attribute that is unknown or not allowed.
func InvalidAttributeName(format string, args ...any) *Error {
	return Fault("InvalidAttributeName", "com.amazonaws.sqs#InvalidAttributeName", format, args...)
}

// InvalidParameter is the answer of SNS to most bad values. Its message begins with "Invalid parameter: ".
func InvalidParameter(format string, args ...any) *Error {
	return Fault("InvalidParameter", "", "Invalid parameter: "+format, args...)
}

// NotFound is the answer of SNS, with status 404, to the ARN of what it does not know.
func NotFound(format string, args ...any) *Error {
	e := Fault("NotFound", "", format, args...)
	e.Status = 404
	return e
}

// errQueueDoesNotExist is the answer of SQS to a queue that it does not know.
func errQueueDoesNotExist() *Error {
	return Fault("AWS.SimpleQueueService.NonExistentQueue", "com.amazonaws.sqs#QueueDoesNotExist",
		"The specified queue does not exist.")
}

// errTaskNotFound is the answer of SQS, with status 404, when a move task, or its source or destination, does not
// exist. reason is the message.
func errTaskNotFound(reason string) *Error {
	e := Fault("ResourceNotFoundException", "com.amazonaws.sqs#ResourceNotFoundException", "%s", reason)
	e.Status = 404
	return e
}
