package ops

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
)

const (
	envPrefix = "BARRAGE_"
	// maxConfigFile and maxSecretFile bound what is read, in bytes: a wrong
	// path should be an error, not an allocation.
	maxConfigFile = 1 << 20
	maxSecretFile = 64 << 10
)

// Origins says for every key, such as "limits.frame", where its value came
// from: "default", "config.yaml:12", "BARRAGE_LIMITS_FRAME" or
// "--limits-frame".
type Origins map[string]string

// UsageError is a command line, environment or configuration file that cannot
// be used. The program ends with exit code 2.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

// ExitCode is 2, usage.
func (e *UsageError) ExitCode() int { return 2 }

// Usagef makes a UsageError.
func Usagef(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

// HelpRequested is returned for --help; Text is what to print to standard
// output. The program ends with exit code 0.
type HelpRequested struct{ Text string }

func (*HelpRequested) Error() string { return "help requested" }

// Load fills cfg, a pointer to a struct that holds the defaults already. Flags
// win over the environment, the environment over the YAML file named by
// --config or BARRAGE_CONFIG, the file over the defaults. args are the
// command's arguments, environ is os.Environ(); rest are the arguments that are
// not flags.
//
// Keys are the fields' yaml tags; a field without one is not configuration. A
// nested struct is a section: its key k is section.k in messages, --section-k
// as a flag and BARRAGE_SECTION_K in the environment. Struct tag help
// documents a field, short gives its flag a letter. Lists and maps may be given as a,b and k=v,k=v, lists of
// anything else as YAML. A Secret has no flag, since others can read command
// lines: it comes from BARRAGE_…, from the file named by BARRAGE_…_FILE or
// --…-file, or from the YAML file. Only where the struct has a key …_file beside
// the secret, which it then reads itself, is there a flag for the value.
//
// Nothing is guessed: unknown and repeated keys, durations without a unit,
// negative numbers, and BARRAGE_ variables of cfg's sections that name no key
// are errors, with file and line where there is one, all of them at once. Then
// each section's Validate() error is called, if it has one, and cfg's. Every
// error is a *UsageError, or *HelpRequested. When nothing but a Validate refused,
// cfg is filled and origins and rest are returned beside the error.
func Load(name string, cfg any, args, environ []string) (Origins, []string, error) {
	fields := fieldsOf(cfg)
	origins := Origins{}
	for _, f := range fields {
		origins[f.key] = "default"
	}
	var file struct {
		Path string `yaml:"config" short:"f" help:"YAML file with any of these keys"`
	}
	own := fieldsOf(&file)
	flags, rest, err := parseFlags(append(own, fields...), args)
	if err != nil {
		if errors.Is(err, errHelp) {
			return nil, nil, &HelpRequested{helpText(name, append(own, fields...))}
		}
		return nil, nil, &UsageError{fmt.Errorf("%w; try: barrage %s --help", err, name)}
	}
	env := environment(environ)
	file.Path = env[envPrefix+"CONFIG"]
	problems := loadFlags(own, flags, Origins{})
	if file.Path != "" {
		problems = append(problems, loadFile(file.Path, cfg, origins)...)
	}
	problems = append(problems, loadEnv(fields, env, origins)...)
	problems = append(problems, loadFlags(fields, flags, origins)...)
	if len(problems) > 0 {
		return nil, nil, &UsageError{errors.Join(problems...)}
	}
	if problems = validate(reflect.ValueOf(cfg), ""); len(problems) > 0 {
		return origins, rest, &UsageError{errors.Join(problems...)}
	}
	return origins, rest, nil
}

// environment keeps the BARRAGE_ variables.
func environment(environ []string) map[string]string {
	env := map[string]string{}
	for _, e := range environ {
		if k, v, ok := strings.Cut(e, "="); ok && strings.HasPrefix(k, envPrefix) {
			env[k] = v
		}
	}
	return env
}

func loadEnv(fields []field, env map[string]string, origins Origins) (problems []error) {
	known := map[string]bool{}
	sections := map[string]bool{}
	for _, f := range fields {
		known[f.env()] = true
		if section, _, nested := strings.Cut(f.key, "."); nested {
			sections[envName(section)+"_"] = true
		}
		text, set := env[f.env()]
		origin := f.env()
		if f.secret {
			known[f.env()+"_FILE"] = true
			if path, ok := env[f.env()+"_FILE"]; ok {
				if set {
					problems = append(problems, fmt.Errorf("%s and %s_FILE are both set; keep one", origin, origin))
					continue
				}
				content, err := readSecret(path)
				if err != nil {
					problems = append(problems, fmt.Errorf("%s_FILE: %w", origin, err))
					continue
				}
				text, set, origin = content, true, origin+"_FILE"
			}
		}
		if !set {
			continue
		}
		if err := f.setText(text); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", origin, err))
			continue
		}
		origins[f.key] = origin
	}
	for _, k := range slices.Sorted(maps.Keys(env)) {
		if known[k] {
			continue
		}
		for s := range sections {
			if strings.HasPrefix(k, s) {
				problems = append(problems, fmt.Errorf(
					"%s names no key%s; unset it (in Kubernetes: enableServiceLinks: false)", k, suggestion(k, slices.Collect(maps.Keys(known)))))
				break
			}
		}
	}
	return problems
}

func loadFlags(fields []field, flags map[string][]string, origins Origins) (problems []error) {
	for _, f := range fields {
		given := flags[f.flag()]
		if len(given) == 0 {
			continue
		}
		text := given[0]
		switch {
		case len(given) > 1 && f.list():
			text = strings.Join(given, ",")
		case len(given) > 1:
			problems = append(problems, fmt.Errorf("--%s is given more than once", f.flag()))
			continue
		}
		if f.secret {
			content, err := readSecret(text)
			if err != nil {
				problems = append(problems, fmt.Errorf("--%s: %w", f.flag(), err))
				continue
			}
			text = content
		}
		if err := f.setText(text); err != nil {
			problems = append(problems, fmt.Errorf("--%s: %w", f.flag(), err))
			continue
		}
		origins[f.key] = "--" + f.flag()
	}
	return problems
}

func readSecret(path string) (string, error) {
	b, err := readBounded(path, maxSecretFile)
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

func readBounded(path string, limit int64) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		return nil, fmt.Errorf("%s is a directory", path)
	}
	if st.Size() > limit {
		return nil, fmt.Errorf("%s has %d bytes; at most %d are read", path, st.Size(), limit)
	}
	return os.ReadFile(path)
}

// validate calls Validate on every section, innermost first.
func validate(v reflect.Value, key string) (problems []error) {
	v = reflect.Indirect(v)
	switch v.Kind() {
	case reflect.Struct:
		for _, f := range structFields(v) {
			problems = append(problems, validate(f.value, join(key, f.name))...)
		}
	case reflect.Slice:
		for i := range v.Len() {
			problems = append(problems, validate(v.Index(i), fmt.Sprintf("%s[%d]", key, i))...)
		}
	default:
		return nil
	}
	if len(problems) > 0 || !v.CanAddr() {
		return problems
	}
	if c, ok := v.Addr().Interface().(interface{ Validate() error }); ok {
		if err := c.Validate(); err != nil {
			if key != "" {
				err = fmt.Errorf("%s: %w", key, err)
			}
			problems = append(problems, err)
		}
	}
	return problems
}
