//go:build !race

package seasonal_test

const raced = false
