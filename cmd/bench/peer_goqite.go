//go:build peers

package main

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"path/filepath"
	"sync"
	"time"

	_ "github.com/mattn/go-sqlite3"
	"maragu.dev/goqite"
)

// goqiteQueue is goqite on SQLite with a write-ahead log. There is no server.
type goqiteQueue struct {
	synchronous string
	db          *sql.DB
	q           *goqite.Queue
}

// goqiteSchema is goqite's schema_sqlite.sql, which the library does not give
// out.
//
//go:embed goqite.sql
var goqiteSchema string

func (q *goqiteQueue) Start(ctx context.Context, dir string) (err error) {
	q.db, err = sql.Open("sqlite3", filepath.Join(dir, "queue.db")+"?_journal=WAL&_timeout=5000&_fk=true&_synchronous="+q.synchronous)
	if err != nil {
		return err
	}
	// SQLite has one writer at a time; more connections only wait in turn.
	q.db.SetMaxOpenConns(1)
	if _, err := q.db.ExecContext(ctx, goqiteSchema); err != nil {
		return err
	}
	q.q = goqite.New(goqite.NewOpts{DB: q.db, Name: kind, Timeout: time.Minute})
	return nil
}

func (q *goqiteQueue) Enqueue(ctx context.Context, p []byte) error {
	return q.q.Send(ctx, goqite.Message{Body: p})
}

func (q *goqiteQueue) EnqueueBatch(ctx context.Context, payloads [][]byte) error {
	tx, err := q.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for _, p := range payloads {
		if err := q.q.SendTx(ctx, tx, goqite.Message{Body: p}); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}

func (q *goqiteQueue) Work(ctx context.Context, slots int, handle func([]byte)) error {
	errs := make([]error, slots)
	var look sync.Mutex // one slot looks for a job at a time
	var wg sync.WaitGroup
	for i := range slots {
		wg.Go(func() {
			for ctx.Err() == nil && errs[i] == nil {
				errs[i] = q.one(ctx, &look, handle)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// one runs one job. An idle queue is looked at every millisecond; the default
// of goqite's own runner is 100.
func (q *goqiteQueue) one(ctx context.Context, look *sync.Mutex, handle func([]byte)) error {
	look.Lock()
	m, err := q.q.ReceiveAndWait(ctx, time.Millisecond)
	look.Unlock()
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	handle(m.Body)
	return q.q.Delete(context.WithoutCancel(ctx), m.ID)
}

func (q *goqiteQueue) Stop() error {
	if q.db == nil {
		return nil
	}
	return q.db.Close()
}
