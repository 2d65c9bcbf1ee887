//go:build darwin || freebsd || dragonfly

package fsys

import "golang.org/x/sys/unix"

// The types of these members differ from one system to the other.
func spaceOf(fd int) (Space, error) {
	var st unix.Statfs_t
	err := unix.Fstatfs(fd, &st)
	return Space{
		FreeBytes: uint64(max(0, int64(st.Bavail))) * uint64(st.Bsize), TotalBytes: uint64(st.Blocks) * uint64(st.Bsize), //nolint:unconvert
		FreeFiles: uint64(st.Ffree), TotalFiles: uint64(st.Files), //nolint:unconvert
		ReadOnly: st.Flags&unix.MNT_RDONLY != 0,
	}, err
}
