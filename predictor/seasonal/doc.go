// Package seasonal forecasts series with one or two strong seasons, such as
// hourly loads with a daily and a weekly pattern, in one batch: samples in,
// forecast and quantiles out.
//
// A few experts, seasonal autoregressions that differ in what they hold for
// constant, are tried on origins inside the series. The forecast is their
// average, weighted by how they did there, and its quantiles are as wide as the
// average's own errors were there.
//
// The package is pure: no clock, no I/O, no randomness. It is meant for a few
// hundred to some thousand samples; streams are another package's work.
package seasonal
