package ops

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
)

var errHelp = errors.New("help requested")

// parseFlags takes --name=value, --name value and, for booleans, --name. Flags
// and other arguments may be mixed; after -- there are no flags.
func parseFlags(fields []field, args []string) (flags map[string][]string, rest []string, err error) {
	isBool := map[string]bool{"config": false}
	names := []string{"config"}
	for _, f := range fields {
		isBool[f.flag()] = f.isBool()
		names = append(names, f.flag())
	}
	flags = map[string][]string{}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return flags, append(rest, args[i+1:]...), nil
		}
		if len(arg) < 2 || arg[0] != '-' {
			rest = append(rest, arg)
			continue
		}
		name, value, hasValue := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
		if name == "h" || name == "help" {
			return nil, nil, errHelp
		}
		boolean, known := isBool[name]
		switch {
		case !known:
			return nil, nil, fmt.Errorf("unknown flag --%s%s", name, suggestion(name, names))
		case hasValue:
		case boolean:
			value = "true"
		case i+1 < len(args):
			i++
			value = args[i]
		default:
			return nil, nil, fmt.Errorf("--%s needs a value", name)
		}
		flags[name] = append(flags[name], value)
	}
	return flags, rest, nil
}

func helpText(name string, fields []field) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: barrage %s [flags]\n\n", name)
	b.WriteString("Each flag may also be a key of the YAML file given by --config, or a variable\n")
	fmt.Fprintf(&b, "such as %s for --%s. Flags win over variables, variables over the file.\n\n", sample(fields).env(), sample(fields).flag())
	b.WriteString("  --config FILE\n        YAML file with any of these keys (BARRAGE_CONFIG)\n")
	for _, f := range fields {
		fmt.Fprintf(&b, "  --%s %s\n", f.flag(), f.kindName())
		help := f.help
		if shown := f.Text(); shown != "" && shown != "[]" && shown != "{}" {
			help = strings.TrimSpace(help + " (default " + shown + ")")
		}
		if help != "" {
			fmt.Fprintf(&b, "        %s\n", help)
		}
	}
	return b.String()
}

func sample(fields []field) field {
	for _, f := range fields {
		if strings.Contains(f.key, ".") && !f.secret {
			return f
		}
	}
	return fields[0]
}

func (f field) kindName() string {
	switch t := f.value.Type(); {
	case f.secret:
		return "FILE"
	case t == durationType:
		return "DURATION"
	case t == bytesType:
		return "SIZE"
	case f.isBool():
		return ""
	case f.list():
		return "A,B"
	case t.Kind() == reflect.Slice, t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Struct:
		return "YAML"
	case t.Kind() == reflect.Map:
		return "K=V,K=V"
	case f.value.CanInt() || f.value.CanUint() || f.value.CanFloat():
		return "NUMBER"
	}
	return "TEXT"
}
