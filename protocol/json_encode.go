package protocol

import (
	"encoding/base64"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// The JSON form of a message: names as in the schema, in the order of the
// schema; fields that hold their default left out; 64-bit integers as numbers;
// bytes in standard base64. Equal messages give equal bytes.

// appendJSON appends m as one JSON object on one line.
func appendJSON(dst []byte, m protoreflect.Message) []byte {
	dst, _ = appendJSONFields(append(dst, '{'), m)
	return append(dst, '}')
}

// appendJSONFields appends m's members without the braces, and says whether
// there were any.
func appendJSONFields(dst []byte, m protoreflect.Message) (out []byte, some bool) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if !m.Has(field) {
			continue
		}
		if some {
			dst = append(dst, ',')
		}
		some = true
		dst = append(dst, '"')
		dst = append(dst, field.Name()...)
		dst = append(dst, '"', ':')
		value := m.Get(field)
		if !field.IsList() {
			dst = appendJSONValue(dst, field, value)
			continue
		}
		list := value.List()
		dst = append(dst, '[')
		for j := range list.Len() {
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSONValue(dst, field, list.Get(j))
		}
		dst = append(dst, ']')
	}
	return dst, some
}

func appendJSONValue(dst []byte, field protoreflect.FieldDescriptor, value protoreflect.Value) []byte {
	switch field.Kind() {
	case protoreflect.BoolKind:
		return strconv.AppendBool(dst, value.Bool())
	case protoreflect.StringKind:
		return appendJSONString(dst, value.String())
	case protoreflect.BytesKind:
		return appendJSONBytes(dst, value.Bytes())
	case protoreflect.MessageKind:
		return appendJSON(dst, value.Message())
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		return strconv.AppendInt(dst, value.Int(), 10)
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind:
		return strconv.AppendUint(dst, value.Uint(), 10)
	default:
		panic("protocol: no JSON form for " + field.Kind().String())
	}
}

const hexDigits = "0123456789abcdef"

// appendJSONString appends s quoted. What is not UTF-8 becomes U+FFFD.
func appendJSONString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := decodeRune(s[i:])
		if r == utf8.RuneError && size == 1 {
			dst = append(dst, s[start:i]...)
			dst = append(dst, "\uFFFD"...)
			i++
			start = i
			continue
		}
		i += size
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func decodeRune[T string | []byte](s T) (rune, int) {
	var b [utf8.UTFMax]byte
	n := copy(b[:], s)
	return utf8.DecodeRune(b[:n])
}

func appendJSONBytes(dst, b []byte) []byte {
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, '"')
}

// AppendRecordsJSON appends a run of records as JSON objects with commas
// between them. A damaged run is an error (Corrupt), and dst comes back as it was.
func AppendRecordsJSON(dst, records []byte) ([]byte, error) {
	start := len(dst)
	for len(records) > 0 {
		_, message, rest, ok := NextRecord(records)
		if !ok {
			return dst[:start], errDamaged
		}
		if len(dst) > start {
			dst = append(dst, ',')
		}
		if dst, ok = appendRecordJSON(dst, message); !ok {
			return dst[:start], errDamaged
		}
		records = rest
	}
	return dst, nil
}

func appendRecordJSON(dst, message []byte) ([]byte, bool) {
	seq, timeMS, rest, ok := recordPlace(message)
	if !ok {
		return dst, false
	}
	mark, body, ok := cutMark(rest)
	if !ok {
		return dst, false
	}
	var fields bodyFields
	if !parseBody(body, &fields) {
		return dst, false
	}
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendUint(dst, seq, 10)
	if timeMS != 0 {
		dst = append(dst, `,"time_ms":`...)
		dst = strconv.AppendInt(dst, timeMS, 10)
	}
	for i, name := range bodyNames {
		if name != "" && len(fields[i]) > 0 {
			dst = append(dst, name...)
			dst = appendJSONString(dst, fields[i])
		}
	}
	if data := fields[7]; len(data) > 0 {
		dst = append(dst, `,"data":`...)
		dst = appendJSONBytes(dst, data)
	}
	if mark.Retracts != 0 {
		dst = append(dst, `,"retracts":`...)
		dst = strconv.AppendUint(dst, mark.Retracts, 10)
	}
	if mark.Gone != "" {
		dst = append(dst, `,"gone":`...)
		dst = appendJSONString(dst, mark.Gone)
	}
	if mark.Shadow {
		dst = append(dst, `,"shadow":true`...)
	}
	return append(dst, '}'), true
}

var bodyNames = [8]string{3: `,"sender":`, 4: `,"name":`, 5: `,"kind":`, 6: `,"text":`}

func appendBatchJSON(dst []byte, room, epoch string, merged, dropped uint64, records []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, `{"batch":{"room":`...)
	dst = appendJSONString(dst, room)
	dst = append(dst, `,"epoch":`...)
	dst = appendJSONString(dst, epoch)
	if merged != 0 {
		dst = append(dst, `,"merged":`...)
		dst = strconv.AppendUint(dst, merged, 10)
	}
	if dropped != 0 {
		dst = append(dst, `,"dropped":`...)
		dst = strconv.AppendUint(dst, dropped, 10)
	}
	return endWithRecords(dst, start, true, records)
}

func appendReplyJSON(dst []byte, id uint64, name string, reply proto.Message, records []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, '{')
	if id != 0 {
		dst = append(dst, `"id":`...)
		dst = strconv.AppendUint(dst, id, 10)
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	dst = append(dst, name...)
	dst = append(dst, `":{`...)
	dst, some := appendJSONFields(dst, reply.ProtoReflect())
	return endWithRecords(dst, start, some, records)
}

// endWithRecords adds the member messages and closes body, frame and line.
func endWithRecords(dst []byte, start int, comma bool, records []byte) ([]byte, error) {
	if len(records) > 0 {
		if comma {
			dst = append(dst, ',')
		}
		dst = append(dst, `"messages":[`...)
		end, err := AppendRecordsJSON(dst, records)
		if err != nil {
			return dst[:start], err
		}
		dst = append(end, ']')
	}
	return append(dst, '}', '}', '\n'), nil
}
