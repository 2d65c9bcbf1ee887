//go:build unix && !linux

package spool

import (
	"context"
	"errors"
)

// awaitExit has no counterpart of a pidfd here.
func awaitExit(context.Context, int, uint64) error { return errors.ErrUnsupported }
