package fsys

import "golang.org/x/sys/unix"

func spaceOf(fd int) (Space, error) {
	var st unix.Statfs_t
	err := unix.Fstatfs(fd, &st)
	return Space{
		FreeBytes: uint64(max(0, st.F_bavail)) * uint64(st.F_bsize), TotalBytes: st.F_blocks * uint64(st.F_bsize),
		FreeFiles: st.F_ffree, TotalFiles: st.F_files,
		ReadOnly: st.F_flags&unix.MNT_RDONLY != 0,
	}, err
}
