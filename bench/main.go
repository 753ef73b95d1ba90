//go:build unix

// Command bench measures the relay end to end: a PostgreSQL that writes durably, a producer, the compiled relay
// function and a stand-in for the broker, each a process of its own on this machine. Every run ends with a judgement
// of its history: one that lost, repeated or reordered an event is a failure, however fast it was.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/serverless-outbox/serverless-outbox/bench/broker"
	"github.com/serverless-outbox/serverless-outbox/bench/limit"
	"github.com/serverless-outbox/serverless-outbox/bench/load"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run runs a campaign, or, when the first argument is a role, that process of a campaign.
func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return campaign(ctx, args)
	}
	switch args[0] {
	case roleBroker:
		return serveBroker(ctx, args[1:])
	case roleProducer:
		var plan load.Plan
		if err := json.NewDecoder(os.Stdin).Decode(&plan); err != nil {
			return err
		}
		return load.Produce(ctx, plan, load.Outbox())
	case roleLimit:
		var cfg limit.Config
		if err := json.NewDecoder(os.Stdin).Decode(&cfg); err != nil {
			return err
		}
		return limit.Run(ctx, cfg)
	}
	return campaign(ctx, args)
}

// The processes that the benchmark starts from its own program.
const (
	roleBroker   = "broker"
	roleProducer = "producer"
	roleLimit    = "limit"
)

// serveBroker is the process of the broker. It prints its host and port as the first line, serves until its
// standard input ends, and then writes what it accepted to the file that -out names.
func serveBroker(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet(roleBroker, flag.ContinueOnError)
	latency := flags.Duration("latency", 0, "time from a request to its answer")
	path := flags.String("out", "", "file for what was accepted")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	ctx, stop := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, bufio.NewReader(os.Stdin)) // the end of the input is the signal
		stop()
	}()
	b := broker.New(*latency)
	return errors.Join(b.Serve(ctx, l), b.Write(*path))
}

// campaign runs the scenarios that the arguments choose, and prints and saves the results.
func campaign(ctx context.Context, args []string) error {
	o := options{env: map[string]string{}}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.run, "run", "", "regular expression of the scenarios to run (default all of the set)")
	flags.StringVar(&o.set, "set", "standard", "standard, quick (for trying it out), sustain or peers")
	flags.StringVar(&o.out, "out", "", "folder for results, logs and plots (default bench/results/<time>)")
	flags.IntVar(&o.rounds, "rounds", 1, "rounds through the set; the systems take turns in each")
	flags.DurationVar(&o.latency, "latency", 10*time.Millisecond, "time from a request to the broker's answer")
	flags.Float64Var(&o.scale, "scale", 1, "factor for the sizes of backlogs and the lengths of runs")
	flags.DurationVar(&o.length, "length", 10*time.Minute, "length of each load of the set sustain")
	flags.Func("env", "NAME=VALUE for the relay; may be given several times", func(text string) error {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return errors.New("want NAME=VALUE")
		}
		o.env[name] = value
		return nil
	})
	flags.BoolVar(&o.profile, "profile", false, "write profiles of the relay beside its log; the figures of such a run are worth less")
	flags.Int64Var(&o.backlog, "backlog", 1_000_000, "largest backlog of the set sustain; 10000000 takes 20 GB of disk")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	return o.campaign(ctx)
}
