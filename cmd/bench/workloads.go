package main

// workloads are the sections of the report, in their order.
func (b *bench) workloads() []workload {
	return []workload{
		b.commands(), b.handlers(), b.enqueue(), b.process(), b.latency(),
		b.flat(), b.memory(), b.flatHuge(), b.memoryHuge(), b.idling(), b.looking(), b.recovery(),
	}
}
