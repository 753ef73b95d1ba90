//go:build unix

package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/faultproxy"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/lambdahost"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/resources"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/tuning"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

const region = "us-east-1"

// Audit is the name of the destination that the template serves with an SQS queue. Its
// other destination, a topic, is outbox.DefaultDestination.
const Audit = "audit"

// The relay's settings unless [Config].Tuning has others: short times, so that leases
// lapse and relays follow each other many times in a run.
const (
	LeaseTTL     = 2 * time.Second
	RenewEvery   = 400 * time.Millisecond
	SendTimeout  = 600 * time.Millisecond
	Tick         = 1500 * time.Millisecond
	RelayTimeout = 7 * time.Second
)

// short returns LeaseTTL, RenewEvery and SendTimeout, and other settings to match, for the program [Tuned].
func short() tuning.Tuning {
	return tuning.Tuning{
		Margin: 2 * time.Second, ShutdownGrace: time.Second, JoinWindow: 2 * Tick,
		LeaseTTL: LeaseTTL, RenewEvery: RenewEvery, SendTimeout: SendTimeout,
		RetryMax: 500 * time.Millisecond, ConnectTimeout: time.Second,
	}
}

// Config describes a world. Program, Server, Name, Journal and Log are required.
type Config struct {
	// Program is the compiled relay function, from [Build].
	Program Program
	// Server is the running PostgreSQL in which the world makes its database. The world does not stop it.
	Server Server
	// Name is the name of the database, which must not exist yet. [World.Close] drops it.
	Name string
	// Journal records what the writers and the broker do.
	Journal *Journal
	// Env is added to the function's variables, and wins over those that the world sets. Nil adds none.
	Env map[string]string
	// Tuning has settings of the program [Tuned]. A zero field takes the short time of this package (LeaseTTL and
	// others), or the default of a deployment when AsDeployed is set.
	Tuning     tuning.Tuning
	AsDeployed bool
	// Timeout is how long an invocation may take. Defaults to RelayTimeout.
	Timeout time.Duration
	// Log receives every line that the function writes to standard output or standard error, one at a time, with
	// "relay", the number of the environment and the request id in front of it.
	Log io.Writer
	// MaxConns is how many connections World.Pool has at most. Defaults to 10.
	MaxConns int
}

// Server is a PostgreSQL.
type Server interface {
	// URL returns the address of a database for the superuser, as a URL with a host and a port.
	URL() string
}

// World is everything that takes part in one run: database, broker, function, and the
// proxies through which the function reaches the database and the broker.
type World struct {
	// Server is the running PostgreSQL that has the world's database.
	Server Server
	// Pool has the connections of the writers and of the run itself to the world's
	// database. It bypasses the proxy.
	Pool *pgxpool.Pool
	// Fake is the broker, with the template's topic and queues.
	Fake *awsfake.Server
	// AWS is the configuration of clients of the fake that bypass the proxy.
	AWS aws.Config
	// Outputs has the topics and queues that were made from template.yaml, and the variables of its functions.
	Outputs resources.Outputs
	// ToDatabase and ToBroker are the proxies that the relay connects to.
	ToDatabase, ToBroker *faultproxy.Proxy
	Function             *lambdahost.Function
	Journal              *Journal

	// root is the folder with the template.
	root string
	// mu guards frozen, which has the request ids of invocations that a fault stops, each with the value true, and
	// ends, which counts the invocations that have ended so far.
	mu     sync.Mutex
	frozen map[string]bool
	ends   Ends
	// databaseURL and brokerURL are the addresses that the relay is given: those of the proxies.
	databaseURL, brokerURL string
	// closers end what Open started, in the order of the starts.
	closers []func() error
}

// Open makes the database, the broker, the proxies and the function. It starts no
// process of the function. After an error it has ended what it started, and the world is
// of no use.
func Open(ctx context.Context, c Config) (_ *World, err error) {
	w := &World{root: c.Program.Root, Server: c.Server, Journal: c.Journal, frozen: map[string]bool{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	if c.MaxConns == 0 {
		c.MaxConns = 10
	}
	if c.Timeout == 0 {
		c.Timeout = RelayTimeout
	}
	if err = w.openDatabase(ctx, c); err != nil {
		return nil, err
	}
	if err = w.openBroker(ctx); err != nil {
		return nil, err
	}
	w.Function, err = w.function(c)
	return w, err
}

// function returns the template's relay function, not started yet, with the settings that c asks for. A relay exits
// after a second without events, unless c.Env says otherwise, and at most 6 run at the same time. w.Outputs must be
// set; a template without such a function is an error.
func (w *World) function(c Config) (*lambdahost.Function, error) {
	env, err := w.Outputs.Environment("RelayFunction")
	if err != nil {
		return nil, err
	}
	if !c.AsDeployed {
		c.Tuning = c.Tuning.Or(short())
	}
	settings, err := c.Tuning.MarshalText()
	if err != nil {
		return nil, err
	}
	maps.Copy(env, map[string]string{
		"AWS_ACCESS_KEY_ID":     "test",
		"AWS_SECRET_ACCESS_KEY": "test",
		"OUTBOX_IDLE_EXIT":      "1s",
		"OUTBOX_LOG_LEVEL":      "INFO",
		tuning.Variable:         string(settings),
	})
	maps.Copy(env, c.Env)
	var writing sync.Mutex
	return lambdahost.New(lambdahost.Config{
		Name: "relay", Binary: c.Program.Binary, Env: env, Region: region, Timeout: c.Timeout, Memory: 256, MaxConcurrency: 6,
		Done: w.ended,
		Output: func(l lambdahost.Line) {
			writing.Lock()
			defer writing.Unlock()
			_, _ = fmt.Fprintf(c.Log, "relay %d %s: %s\n", l.Environment, l.RequestID, l.Text) // A log that is lost fails no run.
		},
	})
}

// openDatabase makes the database with its schema, and sets w.Pool, w.ToDatabase and w.databaseURL.
func (w *World) openDatabase(ctx context.Context, c Config) error {
	conn, err := pgx.Connect(ctx, w.Server.URL())
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	_, err = conn.Exec(ctx, "create database "+pgx.Identifier{c.Name}.Sanitize())
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	w.closers = append(w.closers, func() error { return w.dropDatabase(ctx, c.Name) })
	u, err := url.Parse(w.Server.URL())
	if err != nil {
		return fmt.Errorf("parse the database's URL: %w", err)
	}
	u.Path = "/" + c.Name
	direct := *u
	query := direct.Query()
	query.Set("application_name", "rig")
	direct.RawQuery = query.Encode()
	if w.Pool, err = pgstore.Connect(ctx, pgstore.Config{URL: direct.String(), MaxConns: c.MaxConns}); err != nil {
		return err
	}
	w.closers = append(w.closers, func() error { w.Pool.Close(); return nil })
	if _, err = pgstore.Migrate(ctx, w.Pool); err != nil {
		return err
	}
	proxy, err := faultproxy.Start(u.Host)
	if err != nil {
		return err
	}
	w.closers = append(w.closers, proxy.Close)
	w.ToDatabase = proxy
	u.Host = proxy.Addr()
	w.databaseURL = u.String()
	return nil
}

// dropDatabase drops the database, so that the server has nothing to write when it
// ends. It ends other connections to it, works also after the end of ctx, and takes at
// most a minute.
func (w *World) dropDatabase(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, w.Server.URL())
	if err != nil {
		return fmt.Errorf("drop the database: %w", err)
	}
	_, err = conn.Exec(ctx, "drop database "+pgx.Identifier{name}.Sanitize()+" with (force)")
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		return fmt.Errorf("drop the database: %w", err)
	}
	return nil
}

// openBroker starts the fake and its proxy, makes the template's topic and queues, and sets w.Fake, w.ToBroker,
// w.brokerURL, w.AWS and w.Outputs.
func (w *World) openBroker(ctx context.Context) error {
	w.Fake = awsfake.New(awsfake.Config{Region: region, History: awsfake.HistoryCounts, Discard: true, OnAccepted: w.Journal.onAccepted})
	if err := w.Fake.Start("127.0.0.1:0"); err != nil {
		return err
	}
	w.closers = append(w.closers, w.Fake.Close)
	proxy, err := faultproxy.Start(strings.TrimPrefix(w.Fake.URL(), "http://"))
	if err != nil {
		return err
	}
	w.closers = append(w.closers, proxy.Close)
	w.ToBroker = proxy
	w.brokerURL = "http://" + proxy.Addr()
	direct := w.Fake.URL()
	w.AWS = aws.Config{Region: region, BaseEndpoint: &direct, Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")}
	if w.Outputs, err = w.ApplyTemplate(ctx); err != nil {
		return err
	}
	w.Journal.setDestinations(w.Outputs.Destinations)
	return nil
}

// ApplyTemplate makes those of the template's topics and queues that do not exist in the fake, also after a test has
// deleted some, and returns what the template says of all. It does not set w.Outputs.
func (w *World) ApplyTemplate(ctx context.Context) (resources.Outputs, error) {
	return resources.Apply(ctx, w.AWS, filepath.Join(w.root, "template.yaml"), resources.Options{
		StackName:  "rig",
		Parameters: map[string]string{"DatabaseUrl": w.databaseURL, "EndpointUrl": w.brokerURL},
	})
}

// Owner returns the request id of the running invocation whose relay owns the most shards.
// It returns "" when there is none, and also when the database fails or does not answer
// within half a second.
func (w *World) Owner(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	name, err := Owner(ctx, w.Pool, w.Function)
	if err != nil {
		return ""
	}
	return name
}

// Rest closes the function and waits until its processes have ended, at most for twice the
// constant RelayTimeout.
func (w *World) Rest(ctx context.Context) error {
	closing, done := context.WithTimeout(ctx, 2*RelayTimeout)
	defer done()
	return w.Function.Close(closing)
}

// Close ends what Open started, the last first, except for the function, which Rest must
// have closed before. Calling Close again does nothing.
func (w *World) Close() error {
	var err error
	for _, closer := range slices.Backward(w.closers) {
		err = errors.Join(err, closer())
	}
	w.closers = nil
	return err
}
