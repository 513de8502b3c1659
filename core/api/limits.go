package api

import "time"

// Limits of the service, each with its unit and where the number comes from.
const (
	// handshakeTimeout bounds a TLS handshake: peers are processes of ours, at
	// most a few hundred milliseconds away.
	handshakeTimeout = 5 * time.Second
	// maxHandshakes bounds handshakes at once; further connections wait in the
	// kernel's queue. One costs about 1 ms of CPU.
	maxHandshakes = 64
	// maxConns bounds accepted connections: edges, peers times shards, operators.
	maxConns = 4096

	// maxMessage bounds a gRPC message, in bytes: a proposal or a page is below
	// 1 MiB, the cluster's state with a thousand edges too.
	maxMessage = 4 << 20
	// maxHeaders bounds a call's metadata, in bytes: we send a few hundred.
	maxHeaders = 16 << 10
	// maxStreams bounds the calls at once on one connection.
	maxStreams = 256
	// rpcWindow is the receive window of a stream; a connection has four.
	rpcWindow = 1 << 20
	// callTimeout is the deadline of a call whose caller gave none, and the
	// longest one that counts.
	callTimeout = 10 * time.Second
	// helloTimeout bounds the wait for a stream's first frame.
	helloTimeout = 5 * time.Second

	// keepaliveEvery and keepaliveWait find dead peers within 15 s; leader
	// changes are noticed much earlier, by Raft.
	keepaliveEvery = 10 * time.Second
	keepaliveWait  = 5 * time.Second
	// minPing is how often a peer may ping.
	minPing = 5 * time.Second

	// maxEdges bounds the edges attached to one node.
	maxEdges = 1024
	// maxEdgeBytes bounds an edge's commands whose answers have not left yet.
	// At the bound the stream is not read: the edge's own lanes fill up.
	maxEdgeBytes = 16 << 20
	// maxRelayBytes is the same for all edges of another node together, and for
	// what waits to be sent there.
	maxRelayBytes = 32 << 20
	// maxProposalCommands bounds the commands of one proposal.
	maxProposalCommands = 4096
	// maxMergedBytes bounds what proposals are merged to on their way, in bytes:
	// a log entry closes at 64 KiB.
	maxMergedBytes = 64 << 10
	// commandOverhead is what a command costs beside its bytes, its result
	// included.
	commandOverhead = 160
	// maxLanes bounds the lanes remembered per stream before idle ones are
	// forgotten; the state machine remembers them anyway.
	maxLanes = 16 << 10

	// resetWaitMin and resetWaitMax bound the wait that a lane without a leader
	// is told.
	resetWaitMin = 50 * time.Millisecond
	resetWaitMax = 200 * time.Millisecond
	// fullWait is the wait that a lane is told when the disk is nearly full.
	fullWait = time.Second

	// maxSubscriptions bounds the rooms of one edge's feed.
	maxSubscriptions = 100_000
	// maxTailBytes and maxTailBlocks bound a room's tail. Cursors behind it
	// read from the store.
	maxTailBytes  = 256 << 10
	maxTailBlocks = 512
	// maxTailsBytes bounds the tails of all rooms of one shard together, in
	// bytes; above, a tail keeps its newest block only.
	maxTailsBytes = 16 << 20
	// feedRound is how much of one room a feed sends before the next room's
	// turn, in bytes.
	feedRound = 256 << 10
	// maxBlock is what blocks are merged to, in bytes.
	maxBlock = 64 << 10
	// updateEvery is the least time between two updates of a room on one feed.
	updateEvery = 250 * time.Millisecond
	// stateEvery is the least time between two control states sent to one edge:
	// when thousands of edges report new rules, the state changes thousands of
	// times.
	stateEvery = 50 * time.Millisecond
	// maxUpdateUsers bounds the names of one update; beyond, only the count is told.
	maxUpdateUsers = 256

	// maxHistoryReads bounds history reads at once, so that they leave the disk
	// to the live path; feeds that are behind have as many of their own.
	maxHistoryReads = 4
	// maxPageBytes bounds a history page, in bytes: it fits into a client frame.
	maxPageBytes = 768 << 10
	// defaultPage is the page size of a caller who gave none.
	defaultPage = 100
	// maxRoomPage bounds the rooms of one list page.
	maxRoomPage = 500

	// maxPushes bounds the bundles of rules that are being pushed through this
	// node, each up to control.MaxBundle in memory.
	maxPushes = 2
	// pushTimeout bounds one push: 64 chunks, each committed between regions,
	// and an operator's slow line.
	pushTimeout = time.Minute
	// maxFetches bounds the edges that fetch a bundle at once, each a chunk in
	// memory (control.MaxChunk); further ones wait.
	maxFetches = 64

	// minTTL and maxTTL bound an edge's lease; defaultTTL is for edges that
	// state none.
	minTTL     = 3 * time.Second
	maxTTL     = time.Minute
	defaultTTL = 15 * time.Second

	// dutyEvery is how often a leader looks at its duties without being asked.
	dutyEvery = time.Second
	// retryPause is the wait before asking for control's leader again.
	retryPause = 100 * time.Millisecond
	// statusTimeout bounds the wait for another node's status.
	statusTimeout = 2 * time.Second
	// memberTimeout bounds one change of a shard's members.
	memberTimeout = 10 * time.Second
	// joinTimeout bounds one attempt to join, all shards together.
	joinTimeout = 30 * time.Second
	// maxSeeds bounds the addresses tried in one attempt.
	maxSeeds = 16
)
