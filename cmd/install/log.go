package main

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
)

// logger tells warnings on standard error, and more with -v 2.
func (a *app) logger() *slog.Logger {
	level := slog.LevelWarn
	if a.verbose >= 2 {
		level = slog.LevelDebug
	}
	if a.output == "json" {
		return slog.New(slog.NewJSONHandler(a.err, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(&lineHandler{w: a.err, level: level, mu: &sync.Mutex{}})
}

// lineHandler writes "warning: message key=value" as errors are written: for a person, without a time.
type lineHandler struct {
	mu    *sync.Mutex
	w     io.Writer
	level slog.Level
	attrs []slog.Attr
}

func (h *lineHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

func (h *lineHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	word := strings.ToLower(r.Level.String())
	if r.Level == slog.LevelWarn {
		word = "warning"
	}
	b.WriteString(word + ": " + r.Message)
	add := func(a slog.Attr) bool {
		b.WriteString(" " + a.String())
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	b.WriteString("\n")
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(h.w, b.String())
	return err
}

func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.attrs = append(append([]slog.Attr{}, h.attrs...), attrs...)
	return &with
}

// WithGroup keeps one level: nobody here logs groups.
func (h *lineHandler) WithGroup(string) slog.Handler { return h }
