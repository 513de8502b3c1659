package limit

import (
	"net"
	"net/netip"
)

// AddressKey is what limits per address count by: the IPv4 address, or the /64
// of an IPv6 address, since a /64 is what one customer has at least and every
// address in it is theirs to use. IPv4 in IPv6 counts as IPv4. An address that
// is not IP (a test's pipe) is its own key.
func AddressKey(addr net.Addr) string {
	var ip netip.Addr
	switch a := addr.(type) {
	case nil:
		return ""
	case *net.TCPAddr:
		ip = a.AddrPort().Addr()
	case *net.UDPAddr:
		ip = a.AddrPort().Addr()
	default:
		ap, err := netip.ParseAddrPort(addr.String())
		if err != nil {
			return addr.String()
		}
		ip = ap.Addr()
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() || !ip.IsValid() {
		return ip.String()
	}
	prefix, err := ip.Prefix(64)
	if err != nil { // not for a valid IPv6 address
		return ip.String()
	}
	return prefix.String()
}
