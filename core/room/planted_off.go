//go:build !plantedbugs

package room

func plantedForget() bool { return false }

func plantedReuse(*Shard) {}
