package pgadmin_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/dlq"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
)

// begun is a run over the dead-letter queue of the tests.
func begun(requestID string) dlq.Begun {
	return dlq.Begun{
		RequestID: requestID, QueueARN: "arn:aws:sqs:us-east-1:000000000000:orders-dlq.fifo", TargetARN: "arn:aws:sqs:us-east-1:000000000000:orders.fifo",
		Request: &redrive.Request{Source: redrive.SourceDLQ, Queue: "orders-dlq.fifo", EventIDs: []uuid.UUID{uuid.New()}, AggregateType: "o\x00\"é", Limit: 5},
	}
}

func TestARunOverAQueueIsOnRecordFromItsBeginning(t *testing.T) {
	t.Parallel()
	for name, mode := range modes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, store := open(t, mode)
			if list, err := store.DLQRedrives(t.Context(), 10); err != nil || len(list) != 0 {
				t.Errorf("list %+v, error %v", list, err)
			}
			first, err := store.BeginDLQRedrive(t.Context(), begun("request-1"))
			if err != nil {
				t.Fatal(err)
			}
			second, err := store.BeginDLQRedrive(t.Context(), begun("request-2"))
			if err != nil {
				t.Fatal(err)
			}
			if err = store.EndDLQRedrive(t.Context(), first, &redrive.Answer{Source: redrive.SourceDLQ, Redriven: 3, Failed: 1, Stopped: redrive.StopLimit}); err != nil {
				t.Fatal(err)
			}
			list, err := store.DLQRedrives(t.Context(), 10)
			if err != nil || len(list) != 2 || list[0].ID != second || list[1].ID != first {
				t.Fatalf("list %+v, error %v", list, err)
			}
			login := query[string](t, pool, "select session_user::text")
			want := begun("")
			for _, r := range list {
				if r.Login != login || r.Queue != want.QueueARN || r.SendTo != want.TargetARN || r.Request.Limit != 5 || len(r.Request.EventIDs) != 1 || r.StartedAt.IsZero() {
					t.Errorf("record %+v", r)
				}
			}
			if r := list[0]; r.RequestID != "request-2" || r.EndedAt != nil || r.Answer != nil {
				t.Errorf("a run that lasts: %+v", r)
			}
			if r := list[1]; r.RequestID != "request-1" || r.EndedAt == nil || r.Answer == nil || r.Answer.Redriven != 3 || r.Answer.Failed != 1 || r.Answer.Stopped != redrive.StopLimit {
				t.Errorf("a run that ended: %+v", r)
			}
			if list, err = store.DLQRedrives(t.Context(), 1); err != nil || len(list) != 1 || list[0].ID != second {
				t.Errorf("the latest: %+v, error %v", list, err)
			}
		})
	}
}

// The login that makes the records adds to them and ends its own, once. It cannot change or delete what was recorded.
func TestTheRolesThatMakeRecordsOfRunsCannotChangeThem(t *testing.T) {
	t.Parallel()
	// Direct: the pooler of the tests knows one login.
	pool := outboxtest.DB(t, outboxtest.Direct())
	owner := newStore(pool)
	foreign, err := owner.BeginDLQRedrive(t.Context(), begun("of the owner"))
	if err != nil {
		t.Fatal(err)
	}
	redriver, janitor, relay := login(t, pool, "outbox_redrive"), login(t, pool, "outbox_janitor"), login(t, pool, "outbox_relay")
	own := newStore(redriver)
	id, err := own.BeginDLQRedrive(t.Context(), begun("own"))
	if err != nil {
		t.Fatal(err)
	}
	if list, listErr := own.DLQRedrives(t.Context(), 10); listErr != nil || len(list) != 2 || list[0].Login != redriver.Config().ConnConfig.User {
		t.Errorf("list %+v, error %v", list, listErr)
	}
	if err = own.EndDLQRedrive(t.Context(), foreign, &redrive.Answer{}); err == nil {
		t.Error("the record of another login was ended")
	}
	if err = own.EndDLQRedrive(t.Context(), id, &redrive.Answer{Redriven: 3}); err != nil {
		t.Fatal(err)
	}
	if err = own.EndDLQRedrive(t.Context(), id, &redrive.Answer{}); err == nil {
		t.Error("a record was ended twice")
	}
	for _, sql := range []string{
		"insert into outbox.dlq_redrives (login, request_id, queue, send_to, request) values ('x', '', '', '', '{}')",
		"update outbox.dlq_redrives set login = 'x'",
		"delete from outbox.dlq_redrives",
		"truncate outbox.dlq_redrives",
		"select outbox.delete_dlq_redrives(now(), 10)",
	} {
		for who, db := range map[string]*pgxpool.Pool{"redrive": redriver, "relay": relay} {
			_, err = db.Exec(t.Context(), sql)
			if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.Code != "42501" {
				t.Errorf("%s: %s: error = %v, want permission denied", who, sql, err)
			}
		}
	}
	if n, delErr := newStore(janitor).DeleteRedrives(t.Context(), time.Now().Add(time.Hour), 10); delErr != nil || n != 0 {
		t.Errorf("the janitor deleted %d records of the last 30 days, error %v", n, delErr)
	}
	exec(t, pool, "update outbox.dlq_redrives set started_at = now() - interval '31 days' where redrive_id = $1", id)
	if n, delErr := newStore(janitor).DeleteRedrives(t.Context(), time.Now().Add(-32*24*time.Hour), 10); delErr != nil || n != 0 {
		t.Errorf("the janitor deleted %d records within the retention, error %v", n, delErr)
	}
	if n, delErr := newStore(janitor).DeleteRedrives(t.Context(), time.Now(), 10); delErr != nil || n != 1 {
		t.Errorf("the janitor deleted %d old records, error %v", n, delErr)
	}
}
