// Package dev is "barrage dev": every process of Barrage in one, on embedded
// defaults, for trying it and for developing against it. With --regions it is a
// federation in a box, with simulated delays between its regions. It is not for
// production: it lets in whoever comes, and therefore listens on loopback only.
package dev
