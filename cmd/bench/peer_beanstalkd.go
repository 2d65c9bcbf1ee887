//go:build peers

package main

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/beanstalkd/go-beanstalk"
)

// beanstalkQueue is beanstalkd with a write-ahead log.
type beanstalkQueue struct {
	fsync  string // -f, in milliseconds
	server *server
	addr   string
	conns  sync.Pool // *beanstalk.Conn; a connection is for one call at a time
	mu     sync.Mutex
	open   []*beanstalk.Conn
}

func (q *beanstalkQueue) Start(ctx context.Context, dir string) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	q.addr = "127.0.0.1:" + port
	q.server, err = startServer(ctx, dir, answers(q.addr), "beanstalkd", "-l", "127.0.0.1", "-p", port, "-b", dir, "-f", q.fsync)
	return err
}

// conn is a connection that nobody uses, or a new one.
func (q *beanstalkQueue) conn() (*beanstalk.Conn, error) {
	if c, ok := q.conns.Get().(*beanstalk.Conn); ok {
		return c, nil
	}
	c, err := beanstalk.Dial("tcp", q.addr)
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open = append(q.open, c)
	return c, nil
}

func (q *beanstalkQueue) Enqueue(_ context.Context, p []byte) error {
	c, err := q.conn()
	if err != nil {
		return err
	}
	defer q.conns.Put(c)
	_, err = c.Put(p, 1, 0, time.Minute)
	return err
}

func (q *beanstalkQueue) Work(ctx context.Context, slots int, handle func([]byte)) error {
	errs := make([]error, slots)
	var wg sync.WaitGroup
	for i := range slots {
		wg.Go(func() { errs[i] = q.slot(ctx, handle) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// slot runs jobs one by one. Now and then it wakes up, to see whether it is to
// end.
func (q *beanstalkQueue) slot(ctx context.Context, handle func([]byte)) error {
	c, err := q.conn()
	if err != nil {
		return err
	}
	defer q.conns.Put(c)
	for ctx.Err() == nil {
		id, p, err := c.Reserve(time.Second)
		if errors.Is(err, beanstalk.ErrTimeout) {
			continue
		}
		if err != nil {
			return err
		}
		handle(p)
		if err := c.Delete(id); err != nil {
			return err
		}
	}
	return nil
}

func (q *beanstalkQueue) Stop() error {
	for _, c := range q.open {
		_ = c.Close() // the server is ended anyway
	}
	return q.server.stop(syscall.SIGTERM)
}
