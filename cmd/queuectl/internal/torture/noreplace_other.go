//go:build unix && !linux && !darwin

package torture

import "errors"

func noReplace(string, string) error { return errors.ErrUnsupported }
