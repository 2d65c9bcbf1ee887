package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"queuectl/runner"
	"queuectl/spool"
)

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
	ctx := context.Background()

	// Any process may enqueue.
	for id, args := range map[string]string{"greet-1": `{"name":"Ada"}`, "greet-2": `{}`} {
		if _, err := s.Enqueue(ctx, spool.Job{ID: id, Kind: "greet", Args: json.RawMessage(args)}); err != nil {
			log.Fatal(err)
		}
	}

	// Any other process runs the jobs.
	greet := func(_ context.Context, j *runner.Job) error {
		var args struct{ Name string }
		if err := json.Unmarshal(j.Args, &args); err != nil {
			return runner.Permanent(err) // trying again will not help
		}
		if args.Name == "" {
			return runner.Permanent(errors.New("nobody to greet"))
		}
		fmt.Fprintf(j.Log, "attempt %d\n", j.Attempt) // goes to the job's log
		fmt.Printf("hello, %s\n", args.Name)
		return nil
	}
	p, err := runner.New(s, runner.Options{
		Slots:    1,
		Handlers: map[string]runner.Handler{"greet": greet},
		Drain:    true, // end when all is done
		Grace:    10 * time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := p.Run(ctx); err != nil {
		log.Fatal(err)
	}

	for j, err := range s.List([]spool.State{spool.Completed, spool.Dead}, 0) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %s %q\n", j.ID, j.State, j.LastError)
	}
	// Output:
	// hello, Ada
	// greet-1 completed ""
	// greet-2 dead "nobody to greet"
}
