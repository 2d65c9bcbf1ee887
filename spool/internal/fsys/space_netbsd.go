package fsys

import "golang.org/x/sys/unix"

func spaceOf(fd int) (Space, error) {
	var st unix.Statvfs_t
	err := unix.Fstatvfs(fd, &st)
	return Space{
		FreeBytes: st.Bavail * st.Frsize, TotalBytes: st.Blocks * st.Frsize,
		FreeFiles: st.Ffree, TotalFiles: st.Files,
		ReadOnly: st.Flag&unix.MNT_RDONLY != 0,
	}, err
}
