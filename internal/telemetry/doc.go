// Package telemetry writes what a relay did as CloudWatch metrics.
package telemetry
