//go:build peers

package main

import "context"

// redis is a Redis server that writes an append-only file.
type redis struct {
	*server
	port string
}

// startRedis starts one with its data in dir.
func startRedis(ctx context.Context, dir, fsync string) (redis, error) {
	port, err := freePort()
	if err != nil {
		return redis{}, err
	}
	s, err := startServer(ctx, dir, answers("127.0.0.1:"+port), "redis-server", "--port", port, "--bind", "127.0.0.1",
		"--dir", dir, "--appendonly", "yes", "--appendfsync", fsync, "--save", "")
	return redis{s, port}, err
}
