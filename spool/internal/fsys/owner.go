//go:build unix

package fsys

import (
	"io/fs"
	"syscall"
)

// Owner is the user that os.Lstat says a file belongs to.
func Owner(info fs.FileInfo) (uint32, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return st.Uid, true
}
