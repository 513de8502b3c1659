//go:build !race

package arima_test

const raced = false
