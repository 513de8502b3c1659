package ops

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Bytes is a number of bytes, written as 65536 or 64KiB (B, KiB, MiB, GiB, TiB,
// and KB, MB, GB, TB for powers of ten).
type Bytes int64

var byteUnits = []struct {
	name string
	size int64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"B", 1},
}

// UnmarshalText parses a size.
func (b *Bytes) UnmarshalText(text []byte) error {
	digits, unit := string(text), int64(1)
	for _, u := range byteUnits {
		if d, ok := strings.CutSuffix(digits, u.name); ok {
			digits, unit = strings.TrimSpace(d), u.size
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return fmt.Errorf("%q is not a size: write a number of bytes, or 64KiB, 16MiB, 1GiB", text)
	}
	if n > math.MaxInt64/unit || n < math.MinInt64/unit {
		return fmt.Errorf("%q is too large", text)
	}
	*b = Bytes(n * unit)
	return nil
}

// String prints the largest binary unit that divides it.
func (b Bytes) String() string {
	for _, u := range byteUnits[:4] {
		if b != 0 && int64(b)%u.size == 0 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

var errNegative = errors.New("must not be negative")

// setScalar parses text into v. Negative numbers are refused unless signed:
// a limit below zero is a mistake everywhere.
func setScalar(v reflect.Value, text string, signed bool) error {
	if v.Type() == durationType {
		d, err := parseDuration(text)
		if err != nil {
			return err
		}
		if d < 0 && !signed {
			return fmt.Errorf("%s %w", text, errNegative)
		}
		v.SetInt(int64(d))
		return nil
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			return err
		}
		if v.Type() == bytesType && v.Int() < 0 && !signed {
			return fmt.Errorf("%s %w", text, errNegative)
		}
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		switch text {
		case "true":
			v.SetBool(true)
		case "false":
			v.SetBool(false)
		default:
			return fmt.Errorf("%q is not true or false", text)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("%q is not a whole number of at most %d bits", text, v.Type().Bits())
		}
		if n < 0 && !signed {
			return fmt.Errorf("%s %w", text, errNegative)
		}
		v.SetInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("%q is not a whole number from 0 of at most %d bits", text, v.Type().Bits())
		}
		v.SetUint(n)
	case reflect.Float32, reflect.Float64:
		n, err := strconv.ParseFloat(text, v.Type().Bits())
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return fmt.Errorf("%q is not a number", text)
		}
		if n < 0 && !signed {
			return fmt.Errorf("%s %w", text, errNegative)
		}
		v.SetFloat(n)
	default:
		panic(fmt.Sprintf("ops: configuration field of type %s; use a scalar, a list, a map or a struct", v.Type()))
	}
	return nil
}

func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err == nil {
		return d, nil
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return 0, fmt.Errorf("%q has no unit: write %ss for seconds, %sms for milliseconds, %sm for minutes", text, text, text, text)
	}
	return 0, fmt.Errorf("%q is not a duration: write 250ms, 10s, 5m or 24h", text)
}
