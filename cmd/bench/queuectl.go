package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path/filepath"

	"queuectl/runner"
	"queuectl/spool"
)

// kind is the kind of all jobs that Go handlers do.
const kind = "bench"

// ourName is the name of our own lines.
const ourName = "queuectl"

// ours is queuectl as a library.
func ours(l spool.SyncLevel, how synced) rival {
	return rival{ourName, "sync " + string(l), how, false, func() queue { return &ourQueue{level: l} }}
}

type ourQueue struct {
	level spool.SyncLevel
	s     *spool.Spool
}

func (q *ourQueue) Start(_ context.Context, dir string) (err error) {
	q.s, err = openSpool(filepath.Join(dir, "spool"), q.level)
	return err
}

func (q *ourQueue) Enqueue(ctx context.Context, p []byte) error {
	args, _ := json.Marshal(p)
	_, err := q.s.Enqueue(ctx, spool.Job{Kind: kind, Args: args})
	return err
}

func (q *ourQueue) EnqueueBatch(ctx context.Context, payloads [][]byte) error {
	batch := make([][]byte, len(payloads))
	for i, p := range payloads {
		batch[i] = fmt.Appendf(nil, `{"kind":%q,"args":%q}`, kind, base64.StdEncoding.EncodeToString(p))
	}
	_, err := q.s.EnqueueBatch(ctx, batch)
	return err
}

func (q *ourQueue) Work(ctx context.Context, slots int, handle func([]byte)) error {
	do := func(_ context.Context, j *runner.Job) error {
		var p []byte
		if err := json.Unmarshal(j.Args, &p); err != nil {
			return err
		}
		handle(p)
		return nil
	}
	p, err := runner.New(q.s, runner.Options{Slots: slots, Handlers: map[string]runner.Handler{kind: do}})
	if err != nil {
		return err
	}
	return p.Run(ctx)
}

func (q *ourQueue) Stop() error {
	if q.s == nil {
		return nil
	}
	return q.s.Close()
}

// openSpool makes or opens a spool at a level, which keeps all that is done.
func openSpool(dir string, l spool.SyncLevel) (*spool.Spool, error) {
	s, err := spool.Open(dir, spool.Options{Create: true})
	if err != nil {
		return nil, err
	}
	for _, set := range [][2]string{{"sync", string(l)}, {"keep_completed", "0"}, {"keep_completed_count", "0"}} {
		if err := s.SetConfig(set[0], set[1]); err != nil {
			return nil, err
		}
	}
	return s, nil
}
