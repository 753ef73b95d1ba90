package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/hostmode"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/resources"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

// stack is everything that the relay and the service need: the database, the endpoint of SNS and SQS, and the topics
// and queues there. close ends what was started for it.
type stack struct {
	databaseURL string
	pool        *pgxpool.Pool
	endpoint    string
	aws         aws.Config
	outputs     resources.Outputs
	postgres    string         // the server's version
	closers     []func() error // what close calls, the last first
}

const region = "us-east-1"

// openStack starts PostgreSQL, makes the outbox, starts the emulator of SNS and SQS unless c.emulator is the URL of one,
// and makes there the topics and queues of root/template.yaml. say prints progress. The fake, and no other emulator,
// calls onAccepted with every acceptance.
func openStack(ctx context.Context, c *config, root string, say func(string, ...any), onAccepted func(awsfake.Accepted)) (_ *stack, err error) {
	s := &stack{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err = s.openDatabase(ctx, c); err != nil {
		return nil, err
	}
	say("PostgreSQL %s, durable commits", s.postgres)
	if s.endpoint, err = s.openEmulator(ctx, c, onAccepted); err != nil {
		return nil, err
	}
	say("SNS and SQS: %s at %s", c.emulator, s.endpoint)
	s.aws = aws.Config{
		Region: region, BaseEndpoint: &s.endpoint,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}
	s.outputs, err = resources.Apply(ctx, s.aws, filepath.Join(root, "template.yaml"), resources.Options{
		StackName:  "demo",
		Parameters: map[string]string{"DatabaseUrl": s.databaseURL, "EndpointUrl": s.endpoint},
	})
	if err != nil {
		return nil, err
	}
	say("%d topics, queues, policies and subscriptions of template.yaml", len(s.outputs.Resources))
	return s, nil
}

// openDatabase starts PostgreSQL with durable commits and makes the outbox.
func (s *stack) openDatabase(ctx context.Context, c *config) error {
	server, err := pgserver.Start(ctx, pgserver.Config{Fsync: true, Embedded: c.embedded})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, server.Stop)
	s.databaseURL = server.URL()
	s.pool, err = pgstore.Connect(ctx, pgstore.Config{URL: s.databaseURL, MaxConns: c.writers + 4})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, func() error { s.pool.Close(); return nil })
	if err = s.pool.QueryRow(ctx, "show server_version").Scan(&s.postgres); err != nil {
		return fmt.Errorf("ask for the version: %w", err)
	}
	_, err = pgstore.Migrate(ctx, s.pool)
	return err
}

// openEmulator starts the emulator that c names, "fake" or "localstack", and returns its URL; any other text in
// c.emulator is taken to be the URL of one that runs. Only the fake calls onAccepted.
func (s *stack) openEmulator(ctx context.Context, c *config, onAccepted func(awsfake.Accepted)) (endpoint string, err error) {
	switch c.emulator {
	case "fake":
		fake := awsfake.New(awsfake.Config{Region: region, History: awsfake.HistoryCounts, OnAccepted: onAccepted})
		if err := fake.Start("127.0.0.1:0"); err != nil {
			return "", err
		}
		s.closers = append(s.closers, fake.Close)
		return fake.URL(), nil
	case "localstack":
		server, err := hostmode.Start(ctx, hostmode.Config{})
		if err != nil {
			return "", err
		}
		s.closers = append(s.closers, server.Stop)
		return server.URL(), nil
	}
	return c.emulator, nil
}

// close ends what the stack has started, the newest first. A second call does nothing.
func (s *stack) close() error {
	var err error
	for _, closer := range slices.Backward(s.closers) {
		err = errors.Join(err, closer())
	}
	s.closers = nil
	return err
}
