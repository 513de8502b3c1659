package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/barrage-im/barrage/protocol/ops"
)

// service stands where the service is.
func service(context.Context, []string, io.Writer, io.Writer) error {
	return &ops.HelpRequested{Text: "the service\n"}
}

// call runs a tool.
func call(t *testing.T, in string, args ...string) (out, remarks string, err error) {
	t.Helper()
	var o, e bytes.Buffer
	for _, tool := range tools {
		if tool.name == args[0] {
			err = tool.run(t.Context(), streams{strings.NewReader(in), &o, &e}, args[1:])
			return o.String(), e.String(), err
		}
	}
	t.Fatalf("no tool %s", args[0])
	return "", "", nil
}

// file writes n samples a quarter of an hour apart, with a day.
func file(t *testing.T, n int, change func(i int, v float64) string) string {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 1))
	var b strings.Builder
	b.WriteString("timestamp,value\n")
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for i := range n {
		v := 1000 + 600*math.Sin(2*math.Pi*float64(i)/96) + 40*random.NormFloat64()
		fmt.Fprintf(&b, "%s,%s\n", start.Add(time.Duration(i)*15*time.Minute).Format(time.RFC3339), change(i, v))
	}
	name := filepath.Join(t.TempDir(), "load.csv")
	if err := os.WriteFile(name, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func plain(_ int, v float64) string { return fmt.Sprintf("%.3f", v) }

func TestBacktestTable(t *testing.T) {
	name := file(t, 800, func(i int, v float64) string {
		if i%50 == 7 {
			return ""
		}
		return plain(i, v)
	})
	plotted := filepath.Join(t.TempDir(), "p.svg")
	out, remarks, err := call(t, "", "backtest", name, "--test", "150", "--stride", "12", "--plot", plotted)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"800 samples of 15m", "16 of them missing", "12 origins", "barrage", "naive day", "arima+day", "auto.arima", "emd-arima", "theta"} {
		if !strings.Contains(out, want) {
			t.Errorf("the table has no %q:\n%s", want, out)
		}
	}
	if !strings.Contains(remarks, "repaired: 16 missing") && !strings.Contains(remarks, "not finite") {
		t.Errorf("repairs are not told: %q", remarks)
	}
	if b, err := os.ReadFile(plotted); err != nil || !bytes.Contains(b, []byte("<svg")) || len(b) < 10_000 {
		t.Errorf("no picture: %d bytes, %v", len(b), err)
	}
}

func TestBacktestJSON(t *testing.T) {
	out, _, err := call(t, "", "backtest", file(t, 800, plain), "--test", "150", "--stride", "12", "--json", "--methods", "barrage,naive")
	if err != nil {
		t.Fatal(err)
	}
	var r backtestReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 2 || r.Rows[0].Method != "barrage" || r.Origins != 12 || r.Step != "15m0s" || r.Rows[0].MASE <= 0 {
		t.Errorf("%+v", r)
	}
	if r.Rows[0].MASE > r.Rows[1].MASE {
		t.Errorf("our error is %.3f, that of the last sample %.3f", r.Rows[0].MASE, r.Rows[1].MASE)
	}
}

func TestSeveralSeriesAreSummedUp(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: takes seconds")
	}
	a, b := file(t, 800, plain), file(t, 900, plain)
	out, _, err := call(t, "", "backtest", a, b, "--test", "150", "--stride", "30", "--methods", "barrage,auto.arima")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "2 series") || strings.Count(out, "barrage") != 3 {
		t.Errorf("no means:\n%s", out)
	}
	out, _, err = call(t, "", "simulate", a, b, "--test", "100", "--startup", "300s", "--violated", "5")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "over 2 series") {
		t.Errorf("no mean:\n%s", out)
	}
}

func TestSimulateTable(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED with -short: takes seconds")
	}
	plotted := filepath.Join(t.TempDir(), "p.png")
	out, _, err := call(t, "", "simulate", file(t, 1000, plain), "--test", "200", "--startup", "90s", "--plot", plotted)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"hpa", "barrage", "overhead", "0.5 %"} {
		if !strings.Contains(out, want) {
			t.Errorf("the table has no %q:\n%s", want, out)
		}
	}
	if b, err := os.ReadFile(plotted); err != nil || !bytes.HasPrefix(b, []byte("\x89PNG")) {
		t.Errorf("no picture: %v", err)
	}
}

func TestToolsRefuseWhatCannotBeRun(t *testing.T) {
	good := file(t, 200, plain)
	for _, c := range []struct{ args, want string }{
		{"backtest", "give one file"},
		{"backtest --plot x.svg " + good + " " + good, "give one file"},
		{"simulate --plot x.svg " + good, "one --startup"},
		{"backtest nowhere.csv", "no such file"},
		{"backtest " + good + " --horizon 0", "horizon 0: use 1 to"},
		{"backtest " + good + " --horizon 9999", "use 1 to 256"},
		{"backtest " + good + " --test 500", "a test of 500 samples: there are 200"},
		{"backtest " + good + " --season week", "use --season none"},
		{"backtest " + good + " --season year", "use auto, day, week, both or none"},
		{"backtest " + good + " --methods magic", "for this series there are barrage, naive"},
		{"backtest " + good + " --plot picture.gif", "ends in .svg or .png"},
		{"backtest --query x", "give the address"},
		{"backtest --prometheus http://127.0.0.1:1", "give an expression"},
		{"backtest --prometheus http://127.0.0.1:1 --query up " + good, "not both"},
		{"simulate " + good + " --startup 7s", "use a multiple of 15s"},
		{"simulate " + good + " --min 0", "min 0: use 1 to"},
		{"simulate " + good + " --violated 200", "use percent"},
		{"simulate " + good + " --target 2", "target 2"},
		{"serve-lines " + good, "takes no arguments"},
	} {
		_, _, err := call(t, "", strings.Fields(c.args)...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
	}
	for name, text := range map[string]string{
		"nothing": "", "a header": "timestamp,value\n", "one sample": "2026-01-01,5\n",
		"no numbers": "2026-01-01,x\n2026-01-02,y\n", "no times": "a,1\nb,2\nc,3\n", "one time": "2026-01-01,5\n2026-01-01,6\n",
	} {
		if _, _, err := call(t, text, "backtest", "-"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestAnythingElseIsTheServices(t *testing.T) {
	run := Run(service)
	err := run(t.Context(), []string{"--help"}, io.Discard, io.Discard)
	help, ok := asHelp(err)
	if !ok || !strings.Contains(help.Text, "the service") || !strings.Contains(help.Text, "backtest") {
		t.Errorf("help is %v", err)
	}
	if err := run(t.Context(), []string{"baktest"}, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "use one of backtest") {
		t.Errorf("an unknown tool: %v", err)
	}
}

func lineAnswers(t *testing.T, in string) []map[string]any {
	t.Helper()
	out, _, err := call(t, in, "serve-lines")
	if err != nil {
		t.Fatal(err)
	}
	var answers []map[string]any
	for line := range strings.Lines(out) {
		var a map[string]any
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		answers = append(answers, a)
	}
	return answers
}

func TestLines(t *testing.T) {
	a := lineAnswers(t, `{"series":"x","step_s":60,"seasons":[4],"h":3,"quantiles":[0.1,0.5,0.9]}
{"origin":12,"y":[1,2,3,4,1,2,3,4,1,2,null,4]}
{"origin":14,"y":[1,2]}

{"trace":"x","tick_s":15,"step_s":60,"capacity":10,"startup_s":90,"drain_s":120,"min":2,"season_steps":[],"history":[100,110,120]}
{"t":0,"metric":120,"step_values":[],"replicas":12,"ready":12}
{"t":15,"metric":500,"step_values":[],"replicas":12,"ready":12}
{"t":30,"metric":null,"step_values":[],"replicas":60,"ready":12}
`)
	if len(a) != 7 || a[0]["ok"] != true || a[3]["ok"] != true {
		t.Fatalf("answers %v", a)
	}
	for _, i := range []int{1, 2} {
		if mean, ok := a[i]["mean"].([]any); !ok || len(mean) != 3 {
			t.Errorf("answer %d: %v", i, a[i])
		}
		if q, ok := a[i]["q"].([]any); !ok || len(q) != 3 || len(q[0].([]any)) != 3 {
			t.Errorf("answer %d: %v", i, a[i])
		}
	}
	if got := a[5]["desired"].(float64); got < 40 {
		t.Errorf("%v pods for a load that rises to 50 pods", got)
	}
	if got := a[6]["desired"].(float64); got < 60 {
		t.Errorf("%v of 60 pods without a metric", got)
	}
}

// A line that cannot be used is answered with an error, and the next one goes on
// where the conversation was.
func TestLinesThatCannotBeUsed(t *testing.T) {
	a := lineAnswers(t, `{"origin":1,"y":[1]}
not JSON
{"series":"x","h":0,"quantiles":[0.5]}
{"series":"x","h":2,"quantiles":[0.5,0.1]}
{"trace":"x","tick_s":15,"step_s":7,"capacity":1,"startup_s":90,"min":1}
{"series":"x","step_s":60,"seasons":[],"h":2,"quantiles":[0.5]}
{"origin":5,"y":[1,2]}
{"origin":2,"y":[null,null]}
{"origin":3,"y":[4]}
{"t":0,"metric":1}
`)
	want := []bool{false, false, false, false, false, true, false, false, true, false}
	for i, ok := range want {
		if _, failed := a[i]["error"]; failed == ok {
			t.Errorf("line %d: %v", i+1, a[i])
		}
	}
}

// The running mean of four ticks gives the ticks back.
func TestTicksOfAMean(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	load := make([]float64, 500)
	for i := range load {
		load[i] = 100 + 20*random.Float64()
	}
	var o ticksOf
	worst := 0.0
	for j := 4; j < len(load); j++ {
		v := o.next((load[j-1] + load[j-2] + load[j-3] + load[j-4]) / 4)
		if j > 400 {
			worst = max(worst, math.Abs(v-load[j-1]))
		}
	}
	if worst > 3 {
		t.Errorf("a tick is %.1f off, the ticks differ by 20", worst)
	}
}

func FuzzLines(f *testing.F) {
	f.Add(`{"series":"x","step_s":60,"seasons":[4],"h":3,"quantiles":[0.1]}` + "\n" + `{"origin":2,"y":[1,null]}`)
	f.Add(`{"trace":"x","tick_s":15,"step_s":60,"capacity":10,"startup_s":90,"min":2,"history":[1]}` + "\n" + `{"t":0,"metric":1e308}`)
	f.Fuzz(func(t *testing.T, in string) {
		if len(in) > 4096 {
			return
		}
		var l lines
		for line := range strings.Lines(in) {
			answer, err := l.answer([]byte(line))
			if err == nil {
				if _, err := json.Marshal(answer); err != nil {
					t.Fatalf("%q: %v", line, err)
				}
			}
		}
	})
}
