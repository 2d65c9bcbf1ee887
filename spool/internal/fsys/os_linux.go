package fsys

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func renameNoReplace(ofd int, oname string, nfd int, nname string) error {
	return unix.Renameat2(ofd, oname, nfd, nname, unix.RENAME_NOREPLACE)
}

func fsync(fd int) error { return unix.Fsync(fd) }

func syncfs(fd int) error { return unix.Syncfs(fd) }

// noWriter asks for a read lease, which the kernel refuses while anybody has
// the file open for writing.
func noWriter(fd int) (bool, error) { return lease(fd, unix.F_RDLCK) }

// sole asks for a write lease, which the kernel refuses while anybody else has
// the file open.
func sole(fd int) (bool, error) { return lease(fd, unix.F_WRLCK) }

// lease reports whether there can be a lease. It is given back at once.
func lease(fd, kind int) (bool, error) {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, kind)
	switch {
	case err == nil:
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK)
		return err == nil, err
	case errors.Is(err, unix.EAGAIN):
		return false, nil
	default:
		// EACCES: the file of somebody else. EINVAL: a file system without.
		return false, errors.ErrUnsupported
	}
}

// networkTypes are the f_type numbers (statfs(2)) of file systems whose
// changes on other hosts send no events here.
var networkTypes = map[uint32]bool{
	0x6969:     true, // NFS
	0x517b:     true, // SMB
	0xff534d42: true, // CIFS
	0xfe534d42: true, // SMB2
	0x01021997: true, // 9p
	0x65735546: true, // FUSE: GlusterFS, MooseFS, sshfs
	0x00c36400: true, // Ceph
	0x5346414f: true, // AFS
	0x0bd00bd0: true, // Lustre
	0x47504653: true, // GPFS
	0x73757245: true, // Coda
	0x19830326: true, // BeeGFS
	0x7461636f: true, // OCFS2
	0x01161970: true, // GFS2
	0x6a656a62: true, // virtiofs and shared mounts of some virtual machines
}

// Network tells by statfs(2).
func (o *OS) Network() bool {
	st, err := o.statfs()
	return err == nil && networkTypes[uint32(st.Type)]
}

// Subdirs tells by the link count, which is 2 and one for each sub-directory
// on these file systems. (One of ext4 with too many for that has a count of 1.)
func (o *OS) Subdirs(path string) (n int, known bool) {
	st, err := o.statfs()
	if err != nil {
		return 0, false
	}
	switch uint32(st.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.TMPFS_MAGIC:
		if info, err := o.Lstat(path); err == nil && info.Mode.IsDir() && info.Nlink >= 2 {
			return int(info.Nlink - 2), true
		}
	}
	return 0, false
}

// syncsNames knows the file systems on which power cuts have shown it
// (TestNamesByOneSync): a link and a rename change the inode whose name they
// make, and fsync(2) of the file commits the transaction in which they did.
func syncsNames(fd int) bool {
	var st unix.Statfs_t
	if unix.Fstatfs(fd, &st) != nil {
		return false
	}
	switch uint32(st.Type) {
	case unix.EXT4_SUPER_MAGIC:
		return hasJournal(fd)
	case unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC:
		return true
	}
	return false
}

// syncsTogether knows where syncTogether does what it says: on ext4 and xfs,
// whose journals commit all changes up to a moment, and from Linux 5.2 on, where
// sync_file_range(2) leaves out no page that is being written already.
func syncsTogether(fd int) bool {
	var st unix.Statfs_t
	if unix.Fstatfs(fd, &st) != nil || !kernelIs(5, 2) {
		return false
	}
	switch uint32(st.Type) {
	case unix.EXT4_SUPER_MAGIC:
		return hasJournal(fd)
	case unix.XFS_SUPER_MAGIC:
		return true
	}
	return false
}

// syncTogether has the contents of all files written, so that the journal has
// their blocks and sizes; names it has as soon as they are made. Then it changes
// one file once more, and waits until that change is committed, which commits
// all that came before: one commit for all, without writing all that others have
// left unwritten. (Of 32 files, syncfs(2) takes twice as long, and fsync(2) of
// each ten times.) Power cuts have shown that it holds (TestPowerCut), and that
// it does not without the write, or without that last change (TestOneSync).
func (o *OS) syncTogether(files []File, dirs []string) error {
	for _, f := range files {
		_ = f.(*osFile).write(unix.SYNC_FILE_RANGE_WRITE) // of all at one time; errors are told below
	}
	for _, f := range files {
		err := f.(*osFile).write(unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER)
		if errors.Is(err, unix.ENOSYS) { // a sandbox
			return SyncEach(o, files, dirs)
		}
		if err != nil {
			return err
		}
	}
	last := files[len(files)-1].(*osFile)
	if last.touch() != nil {
		return SyncEach(o, files, dirs)
	}
	return last.Sync()
}

// write begins to write, or has written, what was changed in a file.
func (f *osFile) write(how int) error {
	return f.wrap("sync", retry(func() error { return unix.SyncFileRange(f.fd, 0, 0, how) }))
}

// touch sets the times of a file to now. It takes the call itself, since
// unix.UtimesNanoAt cannot be given an open file.
func (f *osFile) touch() error {
	if _, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(f.fd), 0, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// kernelIs reports whether this is that version of Linux or a later one.
func kernelIs(major, minor int) bool {
	var u unix.Utsname
	return unix.Uname(&u) == nil && atLeast(unix.ByteSliceToString(u.Release[:]), major, minor)
}

func atLeast(release string, major, minor int) bool {
	var x, y int
	if n, _ := fmt.Sscanf(release, "%d.%d", &x, &y); n < 2 {
		return false
	}
	return x > major || x == major && y >= minor
}

// hasJournal tells an ext4 that has transactions from one that was made
// without, and from an ext2, which has the same number. What sysfs does not
// tell has none.
func hasJournal(fd int) bool {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return false
	}
	device, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)))
	if err != nil {
		return false
	}
	var buf [64]byte
	task, err := ReadBrief("/sys/fs/ext4/"+filepath.Base(device)+"/journal_task", buf[:])
	text := strings.TrimSpace(string(task))
	return err == nil && text != "" && text != "<none>"
}

// ReadBrief reads what the kernel tells in a file that is shorter than buf.
// os.ReadFile would take three times as many system calls.
func ReadBrief(path string, buf []byte) ([]byte, error) {
	fd, err := openRetry(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	n := 0
	err = retry(func() (err error) {
		n, err = unix.Read(fd, buf)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "read", Path: path, Err: err}
	}
	return buf[:n], nil
}

// statfs tells about the file system.
func (o *OS) statfs() (st unix.Statfs_t, err error) {
	if err := o.use(); err != nil {
		return st, err
	}
	defer o.life.RUnlock()
	err = retry(func() error { return unix.Fstatfs(o.root, &st) })
	return st, err
}

func spaceOf(fd int) (Space, error) {
	var st unix.Statfs_t
	err := unix.Fstatfs(fd, &st)
	return Space{
		FreeBytes: st.Bavail * uint64(st.Bsize), TotalBytes: st.Blocks * uint64(st.Bsize),
		FreeFiles: st.Ffree, TotalFiles: st.Files,
		ReadOnly: st.Flags&unix.ST_RDONLY != 0,
	}, err
}

const aclAttribute = "system.posix_acl_access"

// HasACL is OS.HasACL of a path from anywhere.
func HasACL(path string) bool {
	n, err := unix.Getxattr(path, aclAttribute, nil)
	return err == nil && n > 0
}

// OpenPlain opens the place of the file first, which does nothing to a FIFO or
// a device, and then that very file through it.
func (o *OS) OpenPlain(path string, flag int) (File, error) {
	var f *osFile
	err := o.do("open", path, func(at int, name string) error {
		place, err := openRetry(at, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(place)
		var st unix.Stat_t
		if err := unix.Fstat(place, &st); err != nil {
			return err
		}
		if err := NotPlain(info(&st).Mode); err != nil {
			return err
		}
		flag |= unix.O_NONBLOCK | unix.O_CLOEXEC
		fd, err := openRetry(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(place), flag, 0)
		if errors.Is(err, unix.ENOENT) { // there is no /proc
			fd, err = openRetry(at, name, flag|unix.O_NOFOLLOW, 0)
		}
		if err == nil {
			f = &osFile{fd: fd, path: filepath.Join(o.dir, path)}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// HasACL asks for the extended attribute in which the kernel keeps the list.
func (o *OS) HasACL(path string) bool {
	f, err := o.Open(path, unix.O_RDONLY)
	if err != nil {
		return false
	}
	defer f.Close()
	n, err := unix.Fgetxattr(f.(*osFile).fd, aclAttribute, nil)
	return err == nil && n > 0
}
