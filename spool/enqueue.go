package spool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"time"

	"queuectl/spool/internal/fsys"
)

// Enqueue makes a job and returns its id once the job is as durable as the
// configured sync level says. An error means that there is no such job, except
// where it says otherwise, as ErrUnsynced does.
func (s *Spool) Enqueue(ctx context.Context, j Job) (string, error) {
	if err := j.validUTF8(); err != nil {
		return "", err
	}
	if len(j.Args) > 0 && !json.Valid(j.Args) {
		return "", &InvalidError{Member: "args", Reason: "is not valid JSON"}
	}
	data, err := j.MarshalJSON()
	if err != nil {
		return "", err
	}
	return s.EnqueueJSON(ctx, data)
}

// EnqueueJSON makes a job of one JSON object. Members that queuectl does not
// know are kept and reach the job.
func (s *Spool) EnqueueJSON(ctx context.Context, data []byte) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := s.enter(); err != nil {
		return "", err
	}
	defer s.making.Done()
	dec, err := s.decodeNew(data)
	if err != nil {
		return "", err
	}
	for {
		b := s.newJob(dec, s.sys.now())
		err := s.publish(ctx, b)
		if dec.ID == "" && errors.Is(err, ErrTaken) {
			continue // a random id that is taken: another one
		}
		if err != nil && !errors.Is(err, ErrUnsynced) {
			return "", s.unwritable(err)
		}
		return b.name.ID, err
	}
}

// decodeNew decodes what a user wrote to become a new job.
func (s *Spool) decodeNew(data []byte) (*decoded, error) {
	dec, err := decodeJob(data, s.cfg().MaxJobSize)
	if err != nil {
		return nil, err
	}
	if dec.history != nil {
		return nil, &InvalidError{Member: "history", Reason: `is queuectl's own; to run a job again use "queuectl retry"`}
	}
	if err := dec.early(); err != nil {
		return nil, err
	}
	if dec.ID != "" {
		if err := validUserID(dec.ID); err != nil {
			return nil, &InvalidError{Member: "id", Reason: err.Error()}
		}
	}
	return dec, nil
}

// early refuses times to which nothing could be added any more: names have four
// digits for the year.
func (d *decoded) early() error {
	if d.RunAt.UTC().Year() > 9998 {
		return &InvalidError{Member: "run_at", Reason: "must lie before the year 9999"}
	}
	return nil
}

// A birth is a job that is about to be made: its name, where it goes, and its
// whole file.
type birth struct {
	name   Name
	dest   string
	data   []byte
	random bool // the id is a random one
}

// newJob makes a job with an id of its own, or a random one, which is its life's
// too: by that it is known that nobody chose it.
func (s *Spool) newJob(dec *decoded, at time.Time) birth {
	id, line := dec.ID, Entry{Event: EventEnqueued}
	if id == "" {
		id = s.randomID()
		line.Life = id
	}
	return s.newBirth(dec, id, at, line)
}

func (s *Spool) randomID() string { return s.random.next(s.sys.rand) }

// newBirth gives a job its due time and priority, and writes its file: what
// the user wrote, what is missing of id and created_at, and the history, to
// which a line is added that begins the life and says where the file goes.
func (s *Spool) newBirth(dec *decoded, id string, at time.Time, line Entry) birth {
	return s.birthAt(dec, Name{Time: dueOf(dec, at), Priority: priorityOf(dec), ID: id}, "", at, line)
}

// birthAt is newBirth under a given name, and at a path of its own where there
// is one.
func (s *Spool) birthAt(dec *decoded, n Name, to string, at time.Time, line Entry) birth {
	if to == "" {
		to = string(Pending) + "/" + n.String()
	}
	history := append(dec.history[:len(dec.history):len(dec.history)], s.beginsLife(line, at, to))
	return birth{name: n, dest: to, data: fileOf(dec, n.ID, at, history), random: dec.ID == ""}
}

// beginsLife has a line begin a life.
func (s *Spool) beginsLife(line Entry, at time.Time, to string) Entry {
	if line.Life == "" {
		line.Life = s.sys.rand(12)
	}
	line.At, line.To = Stamp{at}, to
	return line
}

// fileOf is a job's file: the user's bytes, the members that are missing, and
// the history.
func fileOf(dec *decoded, id string, at time.Time, history []Entry) []byte {
	base, comma := dec.base()
	base = append([]byte(nil), base...)
	member := func(name, value string) {
		if comma {
			base = append(base, ',')
		}
		base, comma = fmt.Appendf(base, `"%s":"%s"`, name, value), true
	}
	if dec.ID == "" {
		member("id", id)
	}
	if dec.CreatedAt.IsZero() {
		member("created_at", stamp(at))
	}
	return newFile(base, comma, history)
}

// dueOf is when a job may run: at once where it does not say.
func dueOf(dec *decoded, at time.Time) time.Time {
	if !dec.RunAt.IsZero() {
		return dec.RunAt.UTC().Truncate(time.Microsecond)
	}
	return at.Add(dec.Delay).Truncate(time.Microsecond)
}

// defaultPriority is that of a job that does not say.
const defaultPriority = 5

func priorityOf(dec *decoded) int {
	if dec.Priority != nil {
		return *dec.Priority
	}
	return defaultPriority
}

// publish stages one job in the directory that this process keeps for it,
// links its id, and moves it into pending/. Where one sync after the link makes
// all of that durable, it is the last that an acknowledgement needs: from there
// on the job is rolled forward, should it not reach pending/. Elsewhere it
// takes a sync before the link and one at the end.
func (s *Spool) publish(ctx context.Context, b birth) error {
	if err := s.inPlace(); err != nil {
		return err
	}
	g, err := s.enqueuer()
	if err != nil {
		return err
	}
	defer s.enqueued(g)
	staged, f, err := g.writeJob(&b)
	if err != nil {
		s.retire(g)
		return err
	}
	defer f.Close()
	undo := func(err error, linked bool) error {
		if s.rollBackJob(staged, b.name.ID, linked) != nil {
			s.retire(g) // it is rolled as what a dead process has left
			err = fmt.Errorf("job %q may be enqueued all the same, because it cannot be taken back: %w", b.name.ID, err)
		}
		return err
	}
	sync := s.syncing()
	once := sync && s.fs.SyncsNames()
	if sync && !once {
		if err := s.group.sync(f); err != nil {
			return undo(err, false)
		}
	}
	if err := s.linkIDThen(ctx, staged, b.name.ID, sync && !once, true); err != nil {
		return undo(err, false)
	}
	if once {
		if err := s.group.sync(f); err != nil {
			return undo(err, true)
		}
	}
	to, err := s.moveTo(staged, Pending, b.name)
	if err != nil {
		return undo(err, true)
	}
	if !sync || once {
		return nil
	}
	if err := s.group.sync(nil, path.Dir(idPath(b.name.ID)), path.Dir(to)); err != nil {
		return fmt.Errorf("job %q is enqueued, but %w: %w", b.name.ID, ErrUnsynced, err)
	}
	return nil
}

// rollBackJob takes back what was staged for one job.
func (s *Spool) rollBackJob(staged, id string, linked bool) error {
	if linked {
		if same, err := s.sameFile(staged, idPath(id)); err != nil {
			return err
		} else if same {
			if err := s.fs.Unlink(idPath(id)); err != nil {
				return err
			}
		}
	}
	return s.fs.Unlink(staged)
}

// enqueuer is the staging directory that this process keeps for its life.
func (s *Spool) enqueuer() (*staging, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.single == nil {
		g, err := s.stageAs(oneByOne)
		if err != nil {
			return nil, err
		}
		s.single = g
	}
	s.single.users++
	return s.single, nil
}

// enqueued ends one use of the staging. The last user of one in which
// something went wrong rolls it back.
func (s *Spool) enqueued(g *staging) {
	s.mu.Lock()
	g.users--
	last := g.users == 0 && s.single != g
	s.mu.Unlock()
	if last {
		_ = g.finish()
	}
}

// retire has no further enqueue use the staging.
func (s *Spool) retire(g *staging) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.single == g {
		s.single = nil
	}
}

// writeJob creates the job's file in the staging and leaves it open to be
// synced. Two goroutines may stage one id at one time: the later takes the
// next free microsecond.
func (g *staging) writeJob(b *birth) (string, fsys.File, error) {
	for {
		p := g.path + "/" + b.name.String()
		f, err := g.s.fs.Open(p, os.O_RDWR|os.O_CREATE|os.O_EXCL)
		if exists(err) {
			b.name.Time = b.name.Time.Add(time.Microsecond)
			continue
		}
		if err != nil {
			return "", nil, err
		}
		if _, err := f.WriteAt(b.data, 0); err != nil {
			_ = f.Close()
			_ = g.s.fs.Unlink(p)
			return "", nil, err
		}
		return p, f, nil
	}
}

// EnqueueBatch makes many jobs at once: all or none, also across a crash at
// any moment. They run in the order given where their priorities are equal. An
// error is a *BatchError where one job is to blame; nothing is enqueued then, or
// with any other error but ErrUnsynced.
func (s *Spool) EnqueueBatch(ctx context.Context, jobs [][]byte) ([]string, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.making.Done()
	for {
		ids, err := s.tryBatch(ctx, jobs)
		if !errors.Is(err, errClash) {
			return ids, s.unwritable(err)
		}
	}
}

// errClash: a random id is taken. All begins anew, with others.
var errClash = errors.New("a random id is taken")

func (s *Spool) tryBatch(ctx context.Context, jobs [][]byte) ([]string, error) {
	births, err := s.births(jobs)
	if err != nil || len(births) == 0 {
		return nil, err
	}
	if err := s.inPlace(); err != nil {
		return nil, err
	}
	g, err := s.stage()
	if err != nil {
		return nil, err
	}
	err = g.batch(ctx, births)
	if err != nil && !errors.Is(err, ErrUnsynced) {
		_ = g.finish() // rolls back
		return nil, err
	}
	ids := make([]string, len(births))
	for i, b := range births {
		ids[i] = b.name.ID
	}
	// It is committed: what cannot be moved now, others move.
	for _, b := range births {
		if _, err := s.moveTo(g.path+"/"+b.name.String(), Pending, b.name); err != nil {
			break
		}
	}
	_ = g.finish()
	if err != nil {
		err = fmt.Errorf("the batch is enqueued, but %w", err)
	}
	return ids, err
}

// births decodes the jobs of a batch. Line k is due at least 1 µs after line
// k-1 where neither says when, and where both say the same time.
func (s *Spool) births(jobs [][]byte) ([]birth, error) {
	births := make([]birth, 0, len(jobs))
	seen := make(map[string]bool, len(jobs))
	later := make(map[int64]int)
	now := s.sys.now()
	for i, data := range jobs {
		dec, err := s.decodeNew(data)
		if err != nil {
			return nil, &BatchError{Index: i, Err: err}
		}
		if dec.ID != "" && seen[dec.ID] {
			return nil, &BatchError{Index: i, Err: fmt.Errorf("id %q stands twice in the batch: %w", dec.ID, ErrTaken)}
		}
		seen[dec.ID] = true
		at := now.Add(time.Duration(i) * time.Microsecond)
		if !dec.RunAt.IsZero() {
			k := dec.RunAt.UnixMicro()
			dec.RunAt = dec.RunAt.Add(time.Duration(later[k]) * time.Microsecond)
			later[k]++
		}
		births = append(births, s.newJob(dec, at))
	}
	return births, nil
}

// batch stages each file and links its id, makes everything durable with one
// sync of the file system, and commits.
func (g *staging) batch(ctx context.Context, births []birth) error {
	s := g.s
	err := spread(len(births), func(i int) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := &births[i]
		staged, f, err := g.writeJob(b)
		if err != nil {
			return err
		}
		_ = f.Close()
		// One sync of all follows.
		err = s.linkIDThen(ctx, staged, b.name.ID, false, true)
		if b.random && errors.Is(err, ErrTaken) {
			return errClash
		}
		if err != nil {
			err = &BatchError{Index: i, Err: err}
		}
		return err
	})
	if err != nil {
		return err
	}
	sync := s.syncing()
	if sync {
		if err := s.fs.SyncFS(); err != nil {
			return err
		}
	}
	return g.commit(sync)
}
