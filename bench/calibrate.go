//go:build unix

package main

import (
	"crypto/sha256"
	"encoding/json"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// The turns of the calibration loop, and how often they are measured. The speed of a machine changes from hour to
// hour, so the costs of a run are also given in turns of this loop: these can be compared across runs and machines.
const (
	calibrateTurns  = 200
	calibrateRounds = 9
)

// calibrate returns the time of one turn of a loop that writes and reads the JSON of a message and hashes 4 KiB
// with SHA-256. The time is elapsed time, the median of nine rounds of 200 turns, which take about 100 ms in
// all.
func calibrate() (time.Duration, error) {
	type message struct {
		ID         int64
		Body       string
		Attributes map[string]string
	}
	block := make([]byte, 4<<10)
	m := message{Body: string(make([]byte, 500)), Attributes: map[string]string{"aggregate_type": "order", "event_type": "order.placed"}}
	var rounds []time.Duration
	for range calibrateRounds {
		began := time.Now()
		for turn := range calibrateTurns {
			m.ID = int64(turn)
			text, err := json.Marshal(m)
			if err != nil {
				return 0, err
			}
			var back message
			if err = json.Unmarshal(text, &back); err != nil {
				return 0, err
			}
			sum := sha256.Sum256(block)
			copy(block, sum[:])
		}
		rounds = append(rounds, time.Since(began)/calibrateTurns)
	}
	slices.Sort(rounds)
	return rounds[len(rounds)/2], nil
}

func processorName() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	_, rest, _ := strings.Cut(string(b), "model name")
	_, rest, _ = strings.Cut(rest, ": ")
	name, _, _ := strings.Cut(rest, "\n")
	return name
}
