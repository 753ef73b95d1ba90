package orm_test

import (
	"database/sql"
	"encoding/json"
	"fmt"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx of sqlx
	"github.com/jmoiron/sqlx"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/testingtb"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
)

// Order is a row of the service.
type Order struct {
	ID    string `gorm:"primaryKey"`
	Total int
}

// event tells of an order that was placed.
func event(order Order) outbox.Event {
	payload, err := json.Marshal(order)
	if err != nil {
		panic(err)
	}
	return outbox.Event{AggregateType: "order", AggregateID: order.ID, Type: "order.placed", Payload: payload}
}

// With gorm: the connection of a transaction is a *sql.Tx.
func Example_gorm() {
	t, end := testingtb.New()
	defer end()
	pool := outboxtest.DB(t)
	db, err := gorm.Open(postgres.Open(pool.Config().ConnString()), &gorm.Config{})
	if err != nil {
		panic(err)
	}
	if err = db.AutoMigrate(&Order{}); err != nil {
		panic(err)
	}

	order := Order{ID: "42", Total: 12}
	err = db.WithContext(t.Context()).Transaction(func(tx *gorm.DB) error {
		if err := tx.Create(&order).Error; err != nil {
			return err
		}
		sqlTx, ok := tx.Statement.ConnPool.(*sql.Tx)
		if !ok {
			return fmt.Errorf("gorm's transaction is a %T", tx.Statement.ConnPool)
		}
		_, err := outbox.Enqueue(tx.Statement.Context, outbox.SQL(sqlTx), event(order))
		return err
	})
	if err != nil {
		panic(err)
	}

	record := outboxtest.RequireEnqueued(t, pool, outbox.Event{AggregateID: "42"})
	fmt.Println(record.Type, string(record.Payload))
	// Output: order.placed {"ID":"42","Total":12}
}

// With gorm, an error rolls back the row and the event.
func Example_gormRollback() {
	t, end := testingtb.New()
	defer end()
	pool := outboxtest.DB(t)
	db, err := gorm.Open(postgres.Open(pool.Config().ConnString()), &gorm.Config{})
	if err != nil {
		panic(err)
	}

	err = db.Transaction(func(tx *gorm.DB) error {
		sqlTx, ok := tx.Statement.ConnPool.(*sql.Tx)
		if !ok {
			return fmt.Errorf("gorm's transaction is a %T", tx.Statement.ConnPool)
		}
		if _, err := outbox.Enqueue(t.Context(), outbox.SQL(sqlTx), event(Order{ID: "42"})); err != nil {
			return err
		}
		return fmt.Errorf("out of stock")
	})

	fmt.Println(err, len(outboxtest.Enqueued(t, pool)))
	// Output: out of stock 0
}

// With sqlx: a *sqlx.Tx has a *sql.Tx in it.
func Example_sqlx() {
	t, end := testingtb.New()
	defer end()
	pool := outboxtest.DB(t)
	db, err := sqlx.ConnectContext(t.Context(), "pgx", pool.Config().ConnString())
	if err != nil {
		panic(err)
	}
	defer func() { _ = db.Close() }()
	db.MustExec("create table orders (id text primary key, total int)")

	order := Order{ID: "42", Total: 12}
	tx, err := db.BeginTxx(t.Context(), nil)
	if err != nil {
		panic(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err = tx.NamedExec("insert into orders (id, total) values (:id, :total)", order); err != nil {
		panic(err)
	}
	if _, err = outbox.Enqueue(t.Context(), outbox.SQL(tx.Tx), event(order)); err != nil {
		panic(err)
	}
	if err = tx.Commit(); err != nil {
		panic(err)
	}

	record := outboxtest.RequireEnqueued(t, pool, outbox.Event{AggregateID: "42"})
	fmt.Println(record.Type, string(record.Payload))
	// Output: order.placed {"ID":"42","Total":12}
}
