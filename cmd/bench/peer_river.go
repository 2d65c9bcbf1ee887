//go:build peers

package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// riverQueue is River on a Postgres of its own.
type riverQueue struct {
	commit string // synchronous_commit
	times  int    // so many workers for each slot
	server *server
	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx] // only to enqueue
}

// riverArgs are a job's arguments.
type riverArgs struct {
	Payload []byte `json:"payload"`
}

func (riverArgs) Kind() string { return kind }

func (q *riverQueue) Start(ctx context.Context, dir string) error {
	addr, err := q.startPostgres(ctx, dir)
	if err != nil {
		return err
	}
	c, err := pgxpool.ParseConfig(addr)
	if err != nil {
		return err
	}
	c.MaxConns = 70 // 64 goroutines that enqueue, and what River itself needs
	if q.pool, err = pgxpool.NewWithConfig(ctx, c); err != nil {
		return err
	}
	m, err := rivermigrate.New(riverpgxv5.New(q.pool), &rivermigrate.Config{Logger: quiet})
	if err != nil {
		return err
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	q.client, err = river.NewClient(riverpgxv5.New(q.pool), &river.Config{Logger: quiet, FetchCooldown: riverCooldown})
	return err
}

var quiet = slog.New(slog.DiscardHandler)

// startPostgres makes a cluster in dir, and returns how to connect to it. As
// root it is that of the user postgres, since Postgres refuses root.
func (q *riverQueue) startPostgres(ctx context.Context, dir string) (string, error) {
	as, err := asPostgres(dir)
	if err != nil {
		return "", err
	}
	data := filepath.Join(dir, "data")
	if err := q.initdb(ctx, dir, append(as, postgresBin("initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-sync")); err != nil {
		return "", err
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	addr := fmt.Sprintf("postgres://postgres@127.0.0.1:%s/postgres?sslmode=disable", port)
	ready := func() error {
		c, err := pgx.Connect(ctx, addr)
		if err != nil {
			return err
		}
		return c.Close(ctx)
	}
	q.server, err = startServer(ctx, dir, ready, append(as, postgresBin("postgres"), "-D", data, "-p", port,
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="+dir, "-c", "synchronous_commit="+q.commit)...)
	return addr, err
}

func (q *riverQueue) initdb(ctx context.Context, dir string, args []string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	return run(cmd)
}

// asPostgres is what starts a command as a user that Postgres accepts, to whom
// dir is given.
func asPostgres(dir string) ([]string, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, _ := strconv.Atoi(u.Uid) // a number on every Unix
	gid, _ := strconv.Atoi(u.Gid)
	return []string{"setpriv", "--reuid", u.Uid, "--regid", u.Gid, "--clear-groups", "--"}, os.Chown(dir, uid, gid)
}

func (q *riverQueue) Enqueue(ctx context.Context, p []byte) error {
	_, err := q.client.Insert(ctx, riverArgs{p}, nil)
	return err
}

func (q *riverQueue) EnqueueBatch(ctx context.Context, payloads [][]byte) error {
	batch := make([]river.InsertManyParams, len(payloads))
	for i, p := range payloads {
		batch[i].Args = riverArgs{p}
	}
	_, err := q.client.InsertManyFast(ctx, batch)
	return err
}

// riverCooldown is the least time between two fetches, and between two words to
// the workers that there is something to fetch. It is the least that River
// takes; the default, 100 ms, limits what it can do.
const riverCooldown = time.Millisecond

func (q *riverQueue) Work(ctx context.Context, slots int, handle func([]byte)) error {
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(func(_ context.Context, j *river.Job[riverArgs]) error {
		handle(j.Args.Payload)
		return nil
	}))
	c, err := river.NewClient(riverpgxv5.New(q.pool), &river.Config{
		Logger:        quiet,
		Workers:       workers,
		Queues:        map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: slots * q.times}},
		FetchCooldown: riverCooldown,
	})
	if err != nil {
		return err
	}
	if err := c.Start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	<-ctx.Done()
	return c.Stop(context.WithoutCancel(ctx))
}

func (q *riverQueue) Stop() error {
	if q.pool != nil {
		q.pool.Close()
	}
	return q.server.stop(syscall.SIGINT) // a fast shutdown
}
