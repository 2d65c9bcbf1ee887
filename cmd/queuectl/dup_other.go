//go:build unix && !linux

package main

import "syscall"

// dup has the number to mean what from does.
func dup(from, to int) error { return syscall.Dup2(from, to) }
