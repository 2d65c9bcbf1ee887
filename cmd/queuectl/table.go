//go:build !windows

package main

import (
	"bufio"
	"io"
	"strings"
	"unicode/utf8"
)

// A table aligns columns. It writes a chunk of rows at a time, so that a list
// may be long: columns widen from chunk to chunk and never shrink.
type table struct {
	w      *bufio.Writer
	width  int // of the terminal; 0: no limit
	colour bool
	widest int // a longer text does not widen its column, and pushes its own row aside; 0: no limit
	widths []int
	rows   [][]cell
}

// A cell is text that is safe to print, and how it is painted.
type cell struct {
	text  string
	paint string // an SGR code, or ""
}

const chunk = 500

func newTable(w io.Writer, width int, colour bool) *table {
	return &table{w: bufio.NewWriter(w), width: width, colour: colour}
}

// table is one on standard output.
func (e *env) table() *table {
	width := 0
	if e.OutTerminal {
		width = e.Width()
	}
	t := newTable(e.Out, width, e.colour(e.OutTerminal))
	t.widest = width * 2 / 5 // one long id is not to take the place of all else
	return t
}

// head adds a row of column names.
func (t *table) head(names ...string) {
	row := make([]cell, len(names))
	for i, n := range names {
		row[i] = cell{n, "1"}
	}
	t.rows = append(t.rows, row)
}

// row adds a row, escaping each text.
func (t *table) row(texts ...string) {
	row := make([]cell, len(texts))
	for i, s := range texts {
		row[i] = cell{text: s}
	}
	t.add(row...)
}

func (t *table) add(row ...cell) {
	for i := range row {
		row[i].text = escape(row[i].text)
	}
	t.rows = append(t.rows, row)
	if len(t.rows) >= chunk {
		t.write()
	}
}

// flush writes what is left.
func (t *table) flush() error {
	t.write()
	return t.w.Flush()
}

func (t *table) write() {
	for _, row := range t.rows {
		for i, c := range row {
			if i == len(t.widths) {
				t.widths = append(t.widths, 0)
			}
			if n := utf8.RuneCountInString(c.text); t.widest == 0 || n <= t.widest {
				t.widths[i] = max(t.widths[i], n)
			}
		}
	}
	for _, row := range t.rows {
		t.line(row)
	}
	t.rows = t.rows[:0]
}

// line writes one row; the last cell is cut where the terminal ends.
func (t *table) line(row []cell) {
	for len(row) > 0 && row[len(row)-1].text == "" {
		row = row[:len(row)-1]
	}
	at := 0
	for i, c := range row {
		if i < len(row)-1 {
			t.cell(c)
			long := utf8.RuneCountInString(c.text)
			pad := max(t.widths[i]-long, 0) + 2
			t.w.WriteString(strings.Repeat(" ", pad))
			at += long + pad
			continue
		}
		if t.width > 0 {
			left := t.width - at
			if left < 6 { // not even a word: the line is too long anyhow
				left = 8
			}
			c.text = cut(c.text, left)
		}
		t.cell(c)
	}
	t.w.WriteByte('\n')
}

func (t *table) cell(c cell) {
	if t.colour && c.paint != "" && c.text != "" {
		t.w.WriteString("\x1b[" + c.paint + "m" + c.text + "\x1b[0m")
		return
	}
	t.w.WriteString(c.text)
}

// cut shortens s to n characters.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	return string(r[:n-1]) + "…"
}
