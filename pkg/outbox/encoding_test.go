package outbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
)

// A connection that is not one of ours, such as the caller's, may have the encoding of a role or a database. Drivers
// send UTF-8 in any case.
func TestTextsAreNotWrittenInAnotherEncoding(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.Direct())
	event := placed("1")
	event.AggregateID, event.Payload = "é", json.RawMessage(`"🚚"`)
	for encoding, taken := range map[string]bool{"LATIN1": false, "EUC_JP": false, "SQL_ASCII": true, "UTF8": true, "unicode": true} {
		config, err := pgx.ParseConfig(pool.Config().ConnString())
		if err != nil {
			t.Fatal(err)
		}
		config.RuntimeParams["client_encoding"] = encoding
		conn, err := pgx.ConnectConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(context.Background()) }()
		for way, write := range map[string]func(tx pgx.Tx) error{
			"Enqueue": func(tx pgx.Tx) error {
				_, err := outbox.Enqueue(t.Context(), tx, event)
				return err
			},
			"EnqueueCopy": func(tx pgx.Tx) error {
				_, err := outbox.EnqueueCopy(t.Context(), tx, slices.Values([]outbox.Event{event}))
				return err
			},
		} {
			tx, err := conn.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			err = write(tx)
			if taken && err != nil || !taken && (!errors.Is(err, outbox.ErrEncoding) || errors.Is(err, outbox.ErrInvalid)) {
				t.Errorf("%s under %s: error is %v", way, encoding, err)
			}
			if !taken {
				_ = tx.Rollback(t.Context())
			} else if err = tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	rows := stored(t, pool)
	if len(rows) != 6 {
		t.Errorf("%d rows, want two for each encoding that is taken", len(rows))
	}
	for _, row := range rows {
		if row.event.AggregateID != event.AggregateID || string(row.event.Payload) != string(event.Payload) {
			t.Errorf("stored as %+v", row.event)
		}
	}
}

// Of database/sql no setting of the connection can be seen from here: the statement looks itself.
func TestTextsAreNotWrittenInAnotherEncodingByDatabaseSQL(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.Direct())
	tx := beginSQL(t, "pgx", pool)
	if _, err := tx.ExecContext(t.Context(), "set local client_encoding = 'LATIN1'"); err != nil {
		t.Fatal(err)
	}
	if _, err := outbox.Enqueue(t.Context(), outbox.SQL(tx), placed("1")); !errors.Is(err, outbox.ErrEncoding) {
		t.Errorf("error is %v, want ErrEncoding", err)
	}
}
