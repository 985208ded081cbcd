package chart

import (
	"fmt"
	"text/template"
	"time"
	_ "time/tzdata" // zones are the same on every machine, also on one that has none

	"helm.sh/helm/v4/pkg/engine"
)

// templates is the engine with a clock that stands. Helm's functions ask the machine for its time and for its time zone in several places,
// and a chart that prints a date would give another bundle tomorrow, or in Tokyo: here the time is the bundle's, and local time is UTC.
func templates(now time.Time) engine.Engine {
	c := clock{now}
	return engine.Engine{CustomTemplateFuncs: template.FuncMap{
		"now":            func() time.Time { return now },
		"ago":            func(date any) string { return now.Sub(c.time(date)).Round(time.Second).String() },
		"date":           func(layout string, date any) string { return c.format(layout, date, "UTC") },
		"dateInZone":     c.format,
		"date_in_zone":   c.format,
		"htmlDate":       func(date any) string { return c.format(time.DateOnly, date, "UTC") },
		"htmlDateInZone": func(date any, zone string) string { return c.format(time.DateOnly, date, zone) },
		"toDate":         func(layout, s string) time.Time { t, _ := time.Parse(layout, s); return t }, // as sprig: the zero time for what is none
		"mustToDate":     time.Parse,
		"durationRound":  c.round,
	}}
}

type clock struct{ now time.Time }

// time reads what sprig takes for a date: a time or seconds, and anything else is now.
func (c clock) time(date any) time.Time {
	switch d := date.(type) {
	case time.Time:
		return d
	case *time.Time:
		return *d
	case int64:
		return time.Unix(d, 0)
	case int32:
		return time.Unix(int64(d), 0)
	case int:
		return time.Unix(int64(d), 0)
	}
	return c.now
}

func (c clock) format(layout string, date any, zone string) string {
	if zone == "Local" {
		zone = "UTC"
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		loc = time.UTC // as sprig
	}
	return c.time(date).In(loc).Format(layout)
}

// round gives a duration, or the time since a date, in its largest unit.
func (c clock) round(duration any) string {
	var d time.Duration
	switch v := duration.(type) {
	case string:
		d, _ = time.ParseDuration(v) // as sprig: 0 for what is none
	case int64:
		d = time.Duration(v)
	case time.Time:
		d = c.now.Sub(v)
	}
	const day = 24 * time.Hour
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{365 * day, "y"}, {30 * day, "mo"}, {day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if n := d.Abs(); n > u.unit {
			return fmt.Sprintf("%d%s", n/u.unit, u.name)
		}
	}
	return "0s"
}
