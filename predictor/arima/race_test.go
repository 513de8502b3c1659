//go:build race

package arima_test

// raced says that the race detector is on: it makes everything slower, and
// costs mean nothing.
const raced = true
