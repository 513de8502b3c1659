//go:build !plantedbugs

package hub

func plantReorder(records []byte) []byte { return records }

func plantLostTail(since uint64) uint64 { return since }
