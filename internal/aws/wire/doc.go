// Package wire makes the two batch calls, SendMessageBatch and PublishBatch, at a
// fraction of what the AWS SDK takes for them. It has two means, and all else of
// a call remains the SDK's: credentials, endpoint, signature, retries, and the
// reading of errors.
//
//   - An [Exchange] writes the request and reads the answer in the place of the
//     SDK's own steps for that.
//   - [Direct] also leaves out the SDK's stack of steps, for most calls.
//
// A sink makes each call like this:
//
//	Direct.Call ── answer read by the codec ────────────────────────────> results
//	     │
//	     ├─ nothing sent ─> SDK, sends ──────┬─ read by the codec ──────> results
//	     │                                   └─ read by the SDK ─> output or error
//	     └─ sent ─────────> SDK, sends nothing: its HTTP client is the outcome
//	                        of the request that was sent ─────────> output or error
package wire
