package spool_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"queuectl/spool"
)

// tempSpool makes a spool for an example.
func tempSpool() (s *spool.Spool, done func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	s, err = spool.Open(dir, spool.Options{Create: true})
	if err != nil {
		log.Fatal(err)
	}
	return s, func() {
		_ = s.Close()
		_ = os.RemoveAll(dir)
	}
}

func Example() {
	dir, err := os.MkdirTemp("", "spool")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	s, err := spool.Open(dir, spool.Options{Create: true})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	id, err := s.Enqueue(context.Background(), spool.Job{
		ID:      "thumb-1",
		Argv:    []string{"convert", "in.png", "out.jpg"},
		Timeout: 90 * time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	j, err := s.Job(id)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(j.ID, j.State, j.Argv)
	// Output: thumb-1 pending [convert in.png out.jpg]
}

func ExampleSpool_Enqueue_taken() {
	s, done := tempSpool()
	defer done()
	ctx := context.Background()

	for range 2 {
		_, err := s.Enqueue(ctx, spool.Job{ID: "nightly-2026-11-24", Command: "./backup"})
		var taken *spool.TakenError
		if errors.As(err, &taken) {
			fmt.Println("enqueued before, and is now", taken.State)
		}
	}
	// Output: enqueued before, and is now pending
}

func ExampleSpool_EnqueueBatch() {
	s, done := tempSpool()
	defer done()

	ids, err := s.EnqueueBatch(context.Background(), [][]byte{
		[]byte(`{"id":"a","command":"true"}`),
		[]byte(`{"id":"b","command":"true","priority":11}`),
	})
	var bad *spool.BatchError
	if errors.As(err, &bad) {
		fmt.Println(len(ids), "enqueued; index", bad.Index, "is to blame:", bad.Err)
	}
	// Output: 0 enqueued; index 1 is to blame: member "priority" must be a whole number from 0 to 9, not 11
}

func ExampleSpool_List() {
	s, done := tempSpool()
	defer done()
	ctx := context.Background()

	for _, id := range []string{"x", "y"} {
		if _, err := s.Enqueue(ctx, spool.Job{ID: id, Kind: "mail", Args: json.RawMessage(`{"to":"ada"}`)}); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := s.Cancel(ctx, "y"); err != nil {
		log.Fatal(err)
	}
	for j, err := range s.List([]spool.State{spool.Pending, spool.Dead}, 0) {
		if err != nil {
			log.Print(err) // of one file; the others follow
			continue
		}
		fmt.Printf("%s %s %q\n", j.ID, j.State, j.LastError)
	}
	// Output:
	// x pending ""
	// y dead "cancelled"
}

func ExampleSpool_Check() {
	s, done := tempSpool()
	defer done()

	rep, err := s.Check(context.Background(), false)
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range rep.Findings {
		fmt.Println(f.Path, f.Text)
	}
	fmt.Println(rep.OK())
	// Output: true
}
