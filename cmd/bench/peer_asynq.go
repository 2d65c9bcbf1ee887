//go:build peers

package main

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/hibiken/asynq"
)

// asynqQueue is asynq on a Redis that writes an append-only file.
type asynqQueue struct {
	fsync  string
	server *server
	redis  asynq.RedisClientOpt
	client *asynq.Client
}

func (q *asynqQueue) Start(ctx context.Context, dir string) error {
	r, err := startRedis(ctx, dir, q.fsync)
	if err != nil {
		return err
	}
	q.server, q.redis = r.server, asynq.RedisClientOpt{Addr: "127.0.0.1:" + r.port, PoolSize: 64}
	q.client = asynq.NewClient(q.redis)
	return nil
}

func (q *asynqQueue) Enqueue(ctx context.Context, p []byte) error {
	_, err := q.client.EnqueueContext(ctx, asynq.NewTask(kind, p))
	return err
}

func (q *asynqQueue) Work(ctx context.Context, slots int, handle func([]byte)) error {
	s := asynq.NewServer(q.redis, asynq.Config{
		Concurrency: slots,
		LogLevel:    asynq.FatalLevel,
		// How often an idle worker looks. The default is a second; a
		// millisecond is what makes it answer soon.
		TaskCheckInterval: time.Millisecond,
	})
	err := s.Start(asynq.HandlerFunc(func(_ context.Context, t *asynq.Task) error {
		handle(t.Payload())
		return nil
	}))
	if err != nil {
		return err
	}
	<-ctx.Done()
	s.Shutdown()
	return nil
}

func (q *asynqQueue) Stop() error {
	var err error
	if q.client != nil {
		err = q.client.Close()
	}
	return errors.Join(err, q.server.stop(syscall.SIGTERM))
}
