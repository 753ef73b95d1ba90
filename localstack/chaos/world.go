//go:build unix

package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/localstack/faultproxy"
	lambdalocal "github.com/serverless-outbox/serverless-outbox/localstack/lambda"
	"github.com/serverless-outbox/serverless-outbox/localstack/resources"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/pgserver"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

const (
	region = "us-east-1"
	// audit is the destination of the template's SQS queue.
	audit = "audit"
)

// world is all that takes part in one run.
type world struct {
	root       string
	server     *pgserver.Server
	pool       *pgxpool.Pool // of the writers and of the campaign itself
	fake       *awsfake.Server
	aws        aws.Config
	outputs    resources.Outputs
	toDatabase path
	toBroker   path
	fn         *lambdalocal.Function
	journal    *journal
	// frozen are the invocations that were stopped on purpose.
	frozen sync.Map
	ends   invocations
	areas  [areas]sync.Mutex
	// databaseURL and brokerURL are what the relay is told.
	databaseURL, brokerURL string
	closers                []func() error
}

// program is what all runs share.
type program struct {
	root, binary string
}

// openWorld makes a database, a broker, the ways to them and the function.
func openWorld(ctx context.Context, p program, server *pgserver.Server, name string, j *journal, log io.Writer) (_ *world, err error) {
	w := &world{root: p.root, server: server, journal: j}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if err = w.openDatabase(ctx, name); err != nil {
		return nil, err
	}
	if err = w.openBroker(ctx); err != nil {
		return nil, err
	}
	env, err := w.outputs.Environment("RelayFunction")
	if err != nil {
		return nil, err
	}
	maps.Copy(env, map[string]string{
		"AWS_ACCESS_KEY_ID":               "test",
		"AWS_SECRET_ACCESS_KEY":           "test",
		"OUTBOX_MARGIN":                   relayMargin.String(),
		"OUTBOX_SHUTDOWN_GRACE":           "1s",
		"OUTBOX_JOIN_WINDOW":              (2 * tick).String(),
		"OUTBOX_LEASE_TTL":                leaseTTL.String(),
		"OUTBOX_RENEW_EVERY":              renewEvery.String(),
		"OUTBOX_SEND_TIMEOUT":             sendTimeout.String(),
		"OUTBOX_RETRY_MAX":                "500ms",
		"OUTBOX_IDLE_EXIT":                "1s",
		"OUTBOX_DATABASE_CONNECT_TIMEOUT": "1s",
		"OUTBOX_LOG_LEVEL":                "INFO",
	})
	var writing sync.Mutex
	w.fn, err = lambdalocal.New(lambdalocal.Config{
		Name: "relay", Binary: p.binary, Env: env, Region: region, Timeout: relayTimeout, Memory: 256, MaxConcurrency: 6,
		Done: w.ended,
		Output: func(l lambdalocal.Line) {
			writing.Lock()
			defer writing.Unlock()
			_, _ = fmt.Fprintf(log, "relay %d %s: %s\n", l.Environment, l.RequestID, l.Text) // A log that is lost fails no run.
		},
	})
	return w, err
}

func (w *world) openDatabase(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, w.server.URL())
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	_, err = conn.Exec(ctx, "create database "+pgx.Identifier{name}.Sanitize())
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	u, err := url.Parse(w.server.URL())
	if err != nil {
		return fmt.Errorf("parse the database's URL: %w", err)
	}
	u.Path = "/" + name
	direct := *u
	query := direct.Query()
	query.Set("application_name", "chaos")
	direct.RawQuery = query.Encode()
	if w.pool, err = pgstore.Connect(ctx, pgstore.Config{URL: direct.String(), MaxConns: writers + 6}); err != nil {
		return err
	}
	w.closers = append(w.closers, func() error { w.pool.Close(); return nil })
	if _, err = pgstore.Migrate(ctx, w.pool); err != nil {
		return err
	}
	proxy, err := faultproxy.Start(u.Host)
	if err != nil {
		return err
	}
	w.closers = append(w.closers, proxy.Close)
	w.toDatabase = path{proxy}
	u.Host = proxy.Addr()
	w.databaseURL = u.String()
	return nil
}

func (w *world) openBroker(ctx context.Context) error {
	w.fake = awsfake.New(awsfake.Config{Region: region, History: awsfake.HistoryCounts, Discard: true, OnAccepted: w.journal.onAccepted})
	if err := w.fake.Start("127.0.0.1:0"); err != nil {
		return err
	}
	w.closers = append(w.closers, w.fake.Close)
	proxy, err := faultproxy.Start(strings.TrimPrefix(w.fake.URL(), "http://"))
	if err != nil {
		return err
	}
	w.closers = append(w.closers, proxy.Close)
	w.toBroker = path{proxy}
	w.brokerURL = "http://" + proxy.Addr()
	direct := w.fake.URL()
	w.aws = aws.Config{Region: region, BaseEndpoint: &direct, Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")}
	if w.outputs, err = w.applyTemplate(ctx); err != nil {
		return err
	}
	w.journal.setDestinations(w.outputs.Destinations)
	return nil
}

// applyTemplate makes the topic and the queues that are not there.
func (w *world) applyTemplate(ctx context.Context) (resources.Outputs, error) {
	return resources.Apply(ctx, w.aws, filepath.Join(w.root, "template.yaml"), resources.Options{
		StackName:  "chaos",
		Parameters: map[string]string{"DatabaseUrl": w.databaseURL, "EndpointUrl": w.brokerURL},
	})
}

// close ends what was started, the newest first.
func (w *world) close() error {
	var err error
	for _, closer := range slices.Backward(w.closers) {
		err = errors.Join(err, closer())
	}
	w.closers = nil
	return err
}
