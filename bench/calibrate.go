//go:build unix

package main

import (
	"crypto/sha256"
	"encoding/json"
	"slices"
	"time"
)

// The speed of a machine changes from hour to hour, and that of two machines
// differs. So each run is preceded by a loop of work of the kind that a relay
// does, and its costs are told in turns of the loop as well: those compare
// across runs where microseconds do not.
const (
	calibrateTurns  = 200
	calibrateRounds = 9
)

// calibrate returns the processor's time for a turn of the loop: JSON of a
// message written and read, and SHA-256 of 4 KiB. It is the median of a few
// rounds, about 100 ms in all.
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
