// Command peers fills and runs other outboxes for the benchmark, each by its own
// write side and its own relay:
//
//	peers list
//	peers <peer> fill < plan.json
//	peers <peer> run  < destination.json
//
// It is a module of its own, so that no user of the outbox gets what it needs.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/bench/load"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: peers list | peers <peer> fill | peers <peer> run")

func run(ctx context.Context, args []string) error {
	if len(args) == 1 && args[0] == "list" {
		return list()
	}
	if len(args) != 2 {
		return errUsage
	}
	all := peers()
	i := slices.IndexFunc(all, func(p peer) bool { return p.Name == args[0] })
	if i < 0 {
		return fmt.Errorf("there is no peer %q", args[0])
	}
	switch args[1] {
	case "fill":
		return fill(ctx, all[i])
	case "run":
		return relay(ctx, all[i])
	}
	return errUsage
}

func list() error {
	var all []load.Peer
	for _, p := range peers() {
		all = append(all, p.Peer)
	}
	return json.NewEncoder(os.Stdout).Encode(all)
}

// fill makes the peer's schema where there is none, and then writes the events of the load.Plan that it reads
// as JSON from standard input.
func fill(ctx context.Context, p peer) error {
	var plan load.Plan
	if err := json.NewDecoder(os.Stdin).Decode(&plan); err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	pool, err := pgxpool.New(ctx, plan.URL)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer pool.Close()
	if err = p.schema(ctx, pool); err != nil {
		return fmt.Errorf("make the schema: %w", err)
	}
	return load.Produce(ctx, plan, load.Writers{Fill: p.write, Live: p.write})
}

// connections is the most connections of a peer to the database: more than any peer needs, so that none waits
// for one.
const connections = 30

// relay runs the peer until ctx ends, from the database to the queue or topic of the load.Destination that it
// reads as JSON from standard input. It prints "running" once the peer publishes.
func relay(ctx context.Context, p peer) error {
	var d load.Destination
	if err := json.NewDecoder(os.Stdin).Decode(&d); err != nil {
		return fmt.Errorf("read the destination: %w", err)
	}
	config, err := pgxpool.ParseConfig(d.URL)
	if err != nil {
		return fmt.Errorf("parse the URL: %w", err)
	}
	config.MaxConns = connections
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer pool.Close()
	return p.run(ctx, pool, newSender(d), func() { fmt.Println("running") })
}
