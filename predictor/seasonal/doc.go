// Package seasonal forecasts series with one or two strong seasons, such as
// hourly loads with a daily and a weekly pattern, in one batch: samples in,
// forecast and quantiles out.
//
// A handful of experts (seasonal autoregressions on three differences and one
// double seasonal smoothing) are tried on origins inside the series. The
// forecast is their average, weighted by how they did there, and its quantiles
// are as wide as the average's own errors there were.
//
// The package is pure: no clock, no I/O, no randomness. It is meant for a few
// hundred to some thousand samples; streams are another package's work.
package seasonal
