package campaign_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/campaign"
)

// one returns a campaign whose flags decide what comes of it.
func one() campaign.Campaign {
	return campaign.Campaign{Name: "one", About: "an example", Declare: func(f *campaign.Flags) campaign.Run {
		var runs int
		var wait time.Duration
		var words []string
		var seed uint64
		f.Int(&runs, "runs", 3, 1, "how many")
		f.Duration(&wait, "wait", time.Second, time.Second, "how long")
		campaign.Pick(f, &words, "words", []string{"good", "bad", "broken"})
		f.Seed(&seed)
		return func(context.Context, io.Writer) (campaign.Report, error) {
			r := campaign.Report{Text: fmt.Sprintf("%d %s %v %d\n", runs, wait, words, seed), OK: !slices.Equal(words, []string{"bad"})}
			if slices.Equal(words, []string{"broken"}) {
				return r, errors.New("no machine")
			}
			return r, nil
		}
	}}
}

func TestTheExitCodeSaysWhatBecameOfACampaign(t *testing.T) {
	t.Parallel()
	for args, c := range map[string]struct {
		code     int
		out, err string
	}{
		"one":                                   {0, "3 1s [good bad broken] 1", ""},
		"one -runs 2 -seed 9 -words good,bad":   {0, "2 1s [good bad] 9", ""},
		"one -words bad":                        {1, "[bad]", ""},
		"one -words broken":                     {1, "[broken]", "no machine"},
		"one -runs 0":                           {2, "", "-runs is 0, want at least 1"},
		"one -wait 1ms -words x":                {2, "", `-words names "x", want some of good, bad, broken`},
		"one -wait 2ms":                         {2, "", "-wait is 2ms, want at least 1s"},
		"one more":                              {2, "", `unexpected ["more"]`},
		"one -help":                             {0, "", "how many"},
		"-help":                                 {0, "", "an example"},
		"":                                      {2, "", "an example"},
		"two":                                   {2, "", `no campaign "two"`},
		"one -write " + os.DevNull + "/nowhere": {1, "3 1s", "nowhere"},
	} {
		var out, errOut bytes.Buffer
		code := campaign.Main(t.Context(), []campaign.Campaign{one()}, strings.Fields(args), &out, &errOut)
		if code != c.code || !strings.Contains(out.String(), c.out) || !strings.Contains(errOut.String(), c.err) {
			t.Errorf("%q: code %d, out %q, err %q; want %d, %q, %q", args, code, out.String(), errOut.String(), c.code, c.out, c.err)
		}
	}
}

func TestTheReportIsWrittenBetweenItsMarks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "doc.md")
	if err := os.WriteFile(path, []byte("<!-- one -->\n<!-- end of one -->\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := campaign.Main(t.Context(), []campaign.Campaign{one()}, []string{"one", "-write", path}, io.Discard, io.Discard); code != 0 {
		t.Errorf("code %d", code)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "<!-- one -->\n3 1s [good bad broken] 1\n<!-- end of one -->\n" {
		t.Errorf("%q, %v", text, err)
	}
}

// numbered is a run's number.
type numbered int

// Line implements [campaign.Result].
func (n numbered) Line() string { return fmt.Sprintf("run %d\n", n) }

func TestRunsOfOneWorkerDoNotOverlap(t *testing.T) {
	t.Parallel()
	const n, parallel = 50, 3
	var busy [parallel]atomic.Int32
	var out bytes.Buffer
	results, err := campaign.Runs(t.Context(), n, parallel, &out, func(_ context.Context, worker, number int) (numbered, error) {
		if busy[worker].Add(1) != 1 {
			t.Errorf("worker %d makes two runs", worker)
		}
		busy[worker].Add(-1)
		return numbered(number), nil
	})
	if err != nil || len(results) != n || !slices.IsSorted(results) || strings.Count(out.String(), "run ") != n {
		t.Errorf("%v, %v\n%s", results, err, out.String())
	}
}

func TestARunThatCannotBeMadeEndsTheOthers(t *testing.T) {
	t.Parallel()
	fault := errors.New("no machine")
	results, err := campaign.Runs(t.Context(), 100, 2, io.Discard, func(ctx context.Context, _, number int) (numbered, error) {
		switch {
		case number == 3:
			return 0, fault
		case number > 3:
			<-ctx.Done()
		}
		return numbered(number), nil
	})
	if !errors.Is(err, fault) || len(results) > 3 {
		t.Errorf("%v, %v", results, err)
	}
}
