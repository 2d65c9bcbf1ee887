//go:build !windows

package main

import (
	"os"
	"path/filepath"
	"syscall"

	"queuectl/spool"
)

// place is the directory below which torture works: beside the spool, because
// there the file system is the spool's. Where the spool is a file system of its
// own, it is in the spool, which leaves foreign names alone; and where there is
// no spool yet, in the nearest directory above it that is there.
func (o *tortureOptions) place() (string, error) {
	if o.base != "" {
		return o.base, nil
	}
	dir := o.dir
	if dir == "" {
		var err error
		if dir, err = spool.DefaultDir(o.Getenv); err != nil {
			return "", err
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	above := filepath.Dir(dir)
	if here, ok := device(dir); ok {
		if there, ok := device(above); ok && there != here {
			return dir, nil
		}
	}
	for {
		if _, ok := device(above); ok || above == filepath.Dir(above) {
			return above, nil
		}
		above = filepath.Dir(above)
	}
}

// device is the number of the file system of a directory.
func device(dir string) (n uint64, ok bool) {
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return 0, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return uint64(st.Dev), true
}
