// Package telemetry writes the reports of relays and janitors as CloudWatch metrics.
package telemetry
