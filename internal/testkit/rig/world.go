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
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/resources"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/tuning"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

const region = "us-east-1"

// Audit is the destination of the template's SQS queue; the other one is
// outbox.DefaultDestination.
const Audit = "audit"

// Times of the program [Tuned] unless Config says otherwise: short, so that leases
// lapse and relays follow each other many times in a run.
const (
	LeaseTTL     = 2 * time.Second
	RenewEvery   = 400 * time.Millisecond
	SendTimeout  = 600 * time.Millisecond
	Tick         = 1500 * time.Millisecond
	RelayTimeout = 7 * time.Second
)

// short are the settings of the program [Tuned].
func short() tuning.Tuning {
	return tuning.Tuning{
		Margin: 2 * time.Second, ShutdownGrace: time.Second, JoinWindow: 2 * Tick,
		LeaseTTL: LeaseTTL, RenewEvery: RenewEvery, SendTimeout: SendTimeout,
		RetryMax: 500 * time.Millisecond, ConnectTimeout: time.Second,
	}
}

// Config describes a world.
type Config struct {
	Program Program
	Server  *pgserver.Server
	// Name is that of the database, which must not exist.
	Name    string
	Journal *Journal
	// Env is added to the function's variables.
	Env map[string]string
	// Tuning has settings of the program [Tuned]; its zero fields take the short times above.
	Tuning tuning.Tuning
	// Timeout is the function's. Defaults to RelayTimeout.
	Timeout time.Duration
	// Output gets each line that the function writes, one at a time, also
	// after it went to Log. Defaults to nobody.
	Output func(lambdahost.Line)
	Log    io.Writer
	// MaxConns bounds the pool. Defaults to 10.
	MaxConns int
}

// World is all that takes part in one run.
type World struct {
	Server *pgserver.Server
	// Pool is for the writers and for the run itself: it goes past the proxy.
	Pool *pgxpool.Pool
	Fake *awsfake.Server
	// AWS reaches the fake, past the proxy.
	AWS     aws.Config
	Outputs resources.Outputs
	// ToDatabase and ToBroker are the relay's ways.
	ToDatabase, ToBroker *faultproxy.Proxy
	Function             *lambdahost.Function
	Journal              *Journal

	root string
	// frozen are the invocations that were stopped on purpose.
	frozen sync.Map
	ends   invocations
	// databaseURL and brokerURL are what the relay is told.
	databaseURL, brokerURL string
	closers                []func() error
}

// Open makes a database, a broker, the ways to them and the function.
func Open(ctx context.Context, c Config) (_ *World, err error) {
	w := &World{root: c.Program.Root, Server: c.Server, Journal: c.Journal}
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

// function is the one of the template, with short times.
func (w *World) function(c Config) (*lambdahost.Function, error) {
	env, err := w.Outputs.Environment("RelayFunction")
	if err != nil {
		return nil, err
	}
	settings, err := c.Tuning.Or(short()).MarshalText()
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
			if c.Output != nil {
				c.Output(l)
			}
		},
	})
}

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

// dropDatabase leaves nothing that the server would have to write when it ends.
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

// ApplyTemplate makes the topic and the queues that are not there.
func (w *World) ApplyTemplate(ctx context.Context) (resources.Outputs, error) {
	return resources.Apply(ctx, w.AWS, filepath.Join(w.root, "template.yaml"), resources.Options{
		StackName:  "rig",
		Parameters: map[string]string{"DatabaseUrl": w.databaseURL, "EndpointUrl": w.brokerURL},
	})
}

// Owner returns the running invocation that holds the most shards, or nothing
// when there is none or the database does not say.
func (w *World) Owner(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	name, err := Owner(ctx, w.Pool, w.Function)
	if err != nil {
		return ""
	}
	return name
}

// Rest ends the function and waits for its processes.
func (w *World) Rest(ctx context.Context) error {
	closing, done := context.WithTimeout(ctx, 2*RelayTimeout)
	defer done()
	return w.Function.Close(closing)
}

// Close ends what was started, the newest first.
func (w *World) Close() error {
	var err error
	for _, closer := range slices.Backward(w.closers) {
		err = errors.Join(err, closer())
	}
	w.closers = nil
	return err
}
