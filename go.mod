module queuectl

go 1.26.0

require (
	github.com/gofrs/flock v0.13.2
	golang.org/x/sys v0.50.0
)
