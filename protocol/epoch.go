package protocol

import (
	"hash/crc32"
	"strconv"
)

// FormatEpoch writes a room's epoch as clients see it: base 36, lower case.
func FormatEpoch(epoch uint64) string { return strconv.FormatUint(epoch, 36) }

// AppendEpoch appends what FormatEpoch returns.
func AppendEpoch(dst []byte, epoch uint64) []byte { return strconv.AppendUint(dst, epoch, 36) }

// ParseEpoch reads what FormatEpoch wrote, and nothing else: no upper case, no
// sign, no leading zero. An error is BadArgument.
func ParseEpoch(s string) (uint64, error) {
	epoch, err := strconv.ParseUint(s, 36, 64)
	if err != nil || FormatEpoch(epoch) != s {
		return 0, Errorf(BadArgument, "an epoch must be given back as the server sent it")
	}
	return epoch, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CRC is the CRC-32C that stored and transferred records carry.
func CRC(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }
