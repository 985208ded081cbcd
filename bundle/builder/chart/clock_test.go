package chart

import (
	"strings"
	"testing"
	"time"
)

// TestClock asks for the time in every way that charts know, in another time zone than UTC: the bundle's time and no other comes out.
func TestClock(t *testing.T) {
	defer func(zone *time.Location) { time.Local = zone }(time.Local)
	time.Local = time.FixedZone("elsewhere", 9*60*60)
	var body strings.Builder
	want := map[string]string{}
	for expr, text := range map[string]string{
		`now | date "2006-01-02 15:04 MST"`:               "2026-03-04 05:06 UTC",
		`date "2006-01-02 15:04" "none"`:                  "2026-03-04 05:06",
		`date "2006-01-02 15:04" 0`:                       "1970-01-01 00:00",
		`dateInZone "15:04" now "Local"`:                  "05:06",
		`dateInZone "15:04 MST" now "Asia/Tokyo"`:         "14:06 JST",
		`date_in_zone "15:04" now "Nowhere/Land"`:         "05:06",
		`htmlDate now`:                                    "2026-03-04",
		`htmlDateInZone now "Pacific/Kiritimati"`:         "2026-03-04",
		`toDate "2006-01-02" "2026-03-04" | unixEpoch`:    "1772582400",
		`mustToDate "2006-01-02" "2026-03-04" | htmlDate`: "2026-03-04",
		`now | unixEpoch`:                                 "1772600767",
		`now | dateModify "-90m" | ago`:                   "1h30m0s",
		`ago 1772600760`:                                  "7s",
		`now | dateModify "-49h" | durationRound`:         "2d",
		`durationRound "5400s"`:                           "1h",
		`durationRound "nonsense"`:                        "0s",
	} {
		name := "k" + time.Duration(len(want)).String()
		want[name] = text
		body.WriteString("  " + name + ": {{ " + expr + " | quote }} # " + expr + "\n")
	}
	dir := folder(t, "app.txtar", map[string]string{"templates/clock.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: clock}\ndata:\n" + body.String()})
	m, err := render(t, dir, options("v1.34.4"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range want {
		if !strings.Contains(string(m.Data), name+": \""+text+"\"") {
			t.Errorf("%s is not %q in\n%s", name, text, m.Data)
		}
	}
}
