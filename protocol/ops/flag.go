package ops

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
)

var errHelp = errors.New("help requested")

// Flags fills opts, a pointer to a struct like Load's, from flags alone: what a
// command that is a client needs. usage is the line that help begins with, such
// as "room show [flags] ROOM". rest are the arguments that are not flags; the
// errors are those of Load.
func Flags(usage string, opts any, args []string) (rest []string, err error) {
	fields := fieldsOf(opts)
	flags, rest, err := parseFlags(fields, args)
	if errors.Is(err, errHelp) {
		var b strings.Builder
		fmt.Fprintf(&b, "Usage: barrage %s\n\n", usage)
		appendHelp(&b, fields)
		return nil, &HelpRequested{b.String()}
	}
	var problems []error
	if err != nil {
		problems = []error{err}
	} else if problems = loadFlags(fields, flags, Origins{}); len(problems) == 0 {
		problems = validate(reflect.ValueOf(opts), "")
	}
	if len(problems) > 0 {
		return nil, &UsageError{errors.Join(append(problems, fmt.Errorf("usage: barrage %s", usage))...)}
	}
	return rest, nil
}

// parseFlags takes --name=value, --name value and, for booleans, --name. Flags
// and other arguments may be mixed; after -- there are no flags.
func parseFlags(fields []field, args []string) (flags map[string][]string, rest []string, err error) {
	isBool := map[string]bool{}
	long := map[string]string{} // by short name
	var names []string
	for _, f := range fields {
		isBool[f.flag()] = f.isBool()
		names = append(names, f.flag())
		if f.short != "" {
			long[f.short] = f.flag()
		}
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
		if full, ok := long[name]; ok && arg[1] != '-' {
			name = full
		}
		boolean, known := isBool[name]
		_, secret := isBool[name+"-file"]
		switch {
		case !known && secret:
			return nil, nil, fmt.Errorf("--%s is a secret, which command lines do not keep: put it into a file and give --%s-file", name, name)
		case !known:
			return nil, nil, fmt.Errorf("unknown flag --%s%s", name, suggestFlag(name, names))
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

// suggestFlag is "; did you mean --x?" when one of the flags is near.
func suggestFlag(word string, names []string) string {
	if best := Nearest(word, names); best != "" {
		return fmt.Sprintf("; did you mean --%s?", best)
	}
	return ""
}

func helpText(name string, fields []field) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: barrage %s [flags]\n\n", name)
	b.WriteString("Each flag may also be a key of the YAML file given by --config, or a variable\n")
	fmt.Fprintf(&b, "such as %s for --%s. Flags win over variables,\nvariables over the file.\n\n", sample(fields).env(), sample(fields).flag())
	appendHelp(&b, fields)
	return b.String()
}

func appendHelp(b *strings.Builder, fields []field) {
	for _, f := range fields {
		short := ""
		if f.short != "" {
			short = "-" + f.short + ", "
		}
		fmt.Fprintf(b, "  %s\n", strings.TrimSpace(short+"--"+f.flag()+" "+f.kindName()))
		help := f.help
		if shown := f.text(); shown != "" && shown != "[]" && shown != "{}" && shown != "false" {
			help = strings.TrimSpace(help + " (default " + shown + ")")
		}
		if help != "" {
			fmt.Fprintf(b, "        %s\n", help)
		}
	}
}

// sample is a key to explain the names with.
func sample(fields []field) field {
	for _, f := range fields {
		if strings.Contains(f.key, ".") && !f.secret {
			return f
		}
	}
	return fields[0] // --config is always there
}

func (f field) kindName() string {
	switch t := f.value.Type(); {
	case f.secret, f.key == "config":
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
