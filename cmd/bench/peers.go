//go:build peers

package main

// withPeers says whether other queues are among the contenders.
const withPeers = true

// peers are the other queues for Go programs, each at the level that leaves
// the disk behind and at the one that waits for it.
func peers() []rival {
	asynq := func(fsync string, how synced) rival {
		return rival{"asynq", "appendfsync " + fsync, how, false, func() queue { return &asynqQueue{fsync: fsync} }}
	}
	goqite := func(synchronous string, how synced) rival {
		return rival{"goqite", "synchronous " + synchronous, how, false, func() queue { return &goqiteQueue{synchronous: synchronous} }}
	}
	river := func(commit string, how synced, name string, times int) rival {
		return rival{name, "synchronous_commit " + commit, how, times == 1, func() queue { return &riverQueue{commit: commit, times: times} }}
	}
	beanstalkd := func(fsync string, how synced) rival {
		return rival{"beanstalkd", "-f " + fsync, how, false, func() queue { return &beanstalkQueue{fsync: fsync} }}
	}
	return []rival{
		asynq("everysec", behind), asynq("always", before),
		goqite("NORMAL", behind), goqite("FULL", before),
		river("off", behind, "river", riverTimes), river("on", before, "river", riverTimes),
		river("off", behind, "river, untuned workers", 1), river("on", before, "river, untuned workers", 1),
		beanstalkd("50", behind), beanstalkd("0", before),
	}
}
