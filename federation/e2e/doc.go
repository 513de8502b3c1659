// Package e2e holds the end-to-end tests: the real binary, real processes,
// real sockets and disks, faults included, and the checker of package history
// over what every client saw.
package e2e
