package replica

import "time"

// Limits, each with its unit and where the number comes from.
const (
	// entryBytes closes a log entry; its last section may reach beyond. 256 messages of 128 bytes an entry cost a
	// twenty-fourth of one an entry; beyond 64 KiB an fsync grows with the bytes.
	entryBytes = 64 << 10
	// MaxSection bounds one section, in bytes: the largest is a policy table.
	MaxSection = 1 << 20
	// maxPending bounds what waits to be proposed in one shard, in bytes: a
	// second of full entries on a disk that syncs 256 times a second.
	maxPending = 16 << 20
	// maxInFlight bounds proposed entries that are not applied yet: with 64 KiB
	// entries and 80 ms between regions, 26 MB/s and shard.
	maxInFlight = 32
	// closeAfter is when an entry is proposed although others are in flight and
	// it is not full, where a commit takes farCommit or more at best: between
	// regions, waiting for the one before would double what a publish takes.
	closeAfter = 5 * time.Millisecond
	// closeNear is the same within a region, where waiting for the one before
	// fills the entry: only a commit that takes unusually long is overtaken.
	closeNear = 25 * time.Millisecond
	farCommit = 10 * time.Millisecond
	// A busy shard waits for more, after the answers of the entry before have
	// left, for half the time that a commit takes, within these bounds: what they
	// take to their publishers and the next publishes take back. Without it every
	// other entry holds only the first to come.
	gatherMin = time.Millisecond
	gatherMax = 5 * time.Millisecond
	// busyBytes in an entry, half a dozen chat messages, make a shard busy.
	busyBytes = 1 << 10
	// quietFor is how long nothing is proposed before followers of a busy shard
	// are told of the last commit.
	quietFor = 2 * time.Millisecond

	// tellPause is how long to wait, at first, before a follower that did not
	// have the entry yet is told again.
	tellPause = 2 * time.Millisecond
	// commitTimeout is how often raft tells idle followers how far the log is
	// committed. The proposer tells them itself (quietFor), so this serves what
	// it does not propose, like changes of membership. Each shard pays it for
	// each follower, also when nobody talks.
	commitTimeout = time.Second

	// appendEntries bounds the entries of one raft message: at 64 KiB each, 8 MiB.
	appendEntries = 128
	// logCache is how many recent entries a shard keeps in memory for followers.
	logCache = 64
	// maxRequest bounds one raft request but snapshots, in bytes: appendEntries
	// of entryBytes and one MaxSection each.
	maxRequest = appendEntries * (entryBytes + MaxSection)
	// rpcTimeout bounds the wait for a peer's answer.
	rpcTimeout = 10 * time.Second
	// headerTimeout bounds the wait for a raft connection's shard number.
	headerTimeout = 5 * time.Second
	// maxConns bounds the raft connections that peers may hold to one shard: a
	// peer uses a handful.
	maxConns = 256

	// snapshotChunk is the aim for a chunk of a snapshot stream, in bytes.
	snapshotChunk = 256 << 10
	// maxSnapshotChunk bounds a chunk before it is read.
	maxSnapshotChunk = 64 << 20
	// spaceCheckEvery is how many received bytes lie between two looks at the
	// disk's free space.
	spaceCheckEvery = 4 << 20

	// maxShard is one above the highest shard number: 0xffff is the store's own.
	maxShard = 0xffff

	minHeartbeat            = 100 * time.Millisecond
	defaultHeartbeat        = time.Second
	defaultWriteTimeout     = 10 * time.Second
	defaultSnapshotEntries  = 2048
	defaultTrailingEntries  = 512
	defaultSnapshotInterval = 30 * time.Second
	defaultSegmentBytes     = 8 << 20
	defaultCacheBytes       = 64 << 20

	// tickEvery is how often the leader looks whether the machine is due.
	tickEvery = 250 * time.Millisecond
	// preferBeats is how many heartbeats lie between a leader's looks at
	// whether it should lead.
	preferBeats = 5
	// diskEvery is how often the free space is looked at.
	diskEvery = time.Second
	// preferWaits bounds how many such looks pass after transfers that failed:
	// 80 s.
	preferWaits = 15
	// closeTimeout bounds the wait for a shard that a fatal error has stopped.
	closeTimeout = 2 * time.Second
)
