//go:build unix

package fsys

import (
	"io/fs"
	"syscall"
)

// Owner is the user and the group that os.Lstat says a file belongs to.
func Owner(info fs.FileInfo) (uid, gid uint32, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return st.Uid, st.Gid, true
}
