//go:build !windows

package torture

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"
)

// A mark is what a process of a job has noted.
type mark struct {
	id, key, word string
	at            time.Time
}

// readMarks reads all of them, by job.
func readMarks(path string) (map[string][]mark, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	marks := make(map[string][]mark)
	for line := range strings.Lines(string(text)) {
		w := strings.Fields(line)
		if len(w) != 4 {
			return nil, fmt.Errorf("%s: not a mark: %q", path, line)
		}
		ns, err := strconv.ParseInt(w[3], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		marks[w[0]] = append(marks[w[0]], mark{w[0], w[1], w[2], time.Unix(0, ns)})
	}
	return marks, nil
}

// tally counts the marks of one job with that word, of one process group or
// (key "") of all.
func tally(marks []mark, word, key string) (n int) {
	for _, m := range marks {
		if m.word == word && (key == "" || m.key == key) {
			n++
		}
	}
	return n
}
