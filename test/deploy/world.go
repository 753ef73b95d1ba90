package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

// world is the state that the steps share. root is the folder of the repository, dir that of logs and build.
// before is what the emulator had before the deployment, outputs the stack's outputs by key, written how many
// events of each aggregate were written for each destination.
type world struct {
	root, dir string
	closers   []func() error

	server   *pgserver.Server
	pool     *pgxpool.Pool
	emulator *emulator
	sam      *sam
	queues   *sqs.Client

	// passwords has the database password of the logins for relay, redrive and janitor, by these names. logins
	// has the stack's parameters, by name, that lead to these logins.
	passwords map[string]string
	logins    map[string]string
	outputs   map[string]string
	before    inventory
	// poisoned are the ids of the events that went to the dead-letter queue, in the order in which they were
	// received.
	poisoned []string
	written  int
}

func (w *world) close() error {
	var err error
	for _, c := range slices.Backward(w.closers) {
		err = errors.Join(err, c())
	}
	return err
}

// openDatabase starts PostgreSQL, makes the schema, and makes the logins of the functions as docs/deploy.md has
// them, with new passwords.
func (w *world) openDatabase(ctx context.Context) error {
	var err error
	if w.server, err = pgserver.Start(ctx, pgserver.Config{}); err != nil {
		return err
	}
	w.closers = append(w.closers, w.server.Stop)
	w.pool, err = pgstore.Connect(ctx, pgstore.Config{URL: w.server.URL(), MaxConns: 4})
	if err != nil {
		return err
	}
	w.closers = append(w.closers, func() error { w.pool.Close(); return nil })
	if _, err = pgstore.Migrate(ctx, w.pool); err != nil {
		return err
	}
	w.passwords = map[string]string{}
	for _, role := range []string{"relay", "redrive", "janitor"} {
		password := rand.Text()
		if _, err = w.pool.Exec(ctx, fmt.Sprintf(`CREATE ROLE app_%[1]s LOGIN PASSWORD '%[2]s' IN ROLE outbox_%[1]s`, role, password)); err != nil {
			return fmt.Errorf("login of the %s: %w", role, err)
		}
		w.passwords[role] = password
	}
	return nil
}

func (w *world) openEmulator(ctx context.Context) error {
	var err error
	if w.emulator, err = startEmulator(ctx, w.dir); err != nil {
		return err
	}
	w.closers = append(w.closers, w.emulator.stop)
	log, err := os.Create(filepath.Join(w.dir, "sam.log"))
	if err != nil {
		return fmt.Errorf("make the log: %w", err)
	}
	w.closers = append(w.closers, log.Close)
	if w.sam, err = newSAM(ctx, w.root, log, w.emulator); err != nil {
		return err
	}
	w.queues = sqs.New(sqs.Options{
		BaseEndpoint: aws.String(w.emulator.url), Region: region,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
		HTTPClient:  &http.Client{Transport: w.emulator.cert.transport()},
	})
	w.logins, err = w.makeLogins(ctx)
	return err
}

// makeLogins returns the stack's parameters for the database. The logins of relay and janitor go into secrets,
// in the form that RDS writes, that of the redrive into its URL, so that each way is used.
func (w *world) makeLogins(ctx context.Context) (map[string]string, error) {
	server, err := url.Parse(w.server.URL())
	if err != nil {
		return nil, fmt.Errorf("read the server's URL: %w", err)
	}
	server.User = nil
	parameters := map[string]string{"DatabaseUrl": server.String(), "JanitorDatabaseUrl": server.String()}
	for role, parameter := range map[string]string{"relay": "DatabaseSecretArn", "janitor": "JanitorDatabaseSecretArn"} {
		value, err := json.Marshal(map[string]string{"username": "app_" + role, "password": w.passwords[role]})
		if err != nil {
			return nil, fmt.Errorf("secret of the %s: %w", role, err)
		}
		if parameters[parameter], err = w.sam.secret(ctx, "outbox/"+role, string(value)); err != nil {
			return nil, err
		}
	}
	server.User = url.UserPassword("app_redrive", w.passwords["redrive"])
	parameters["RedriveDatabaseUrl"] = server.String()
	return parameters, nil
}
