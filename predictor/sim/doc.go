// Package sim replays a load trace against an autoscaler, in ticks of 15 s.
//
// It knows a fleet whose pods start and drain, the Horizontal Pod Autoscaler's
// arithmetic, the cheapest plan in hindsight (the oracle) and the frontier of
// cost against violated minutes. Policies see the past only: the metric and the
// steps that are complete. Everything is a pure function of its arguments.
//
// Simplifications: load between the middles of two steps is linear, new pods
// take their share of the load at once, and starting takes always the same time.
package sim

// TickSeconds is the length of a tick: how often the HPA looks.
const TickSeconds = 15
