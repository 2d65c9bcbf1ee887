//go:build unix && !linux

package main

import "golang.org/x/sys/unix"

// dup has the number to mean what from does.
func dup(from, to int) error { return unix.Dup2(from, to) }
