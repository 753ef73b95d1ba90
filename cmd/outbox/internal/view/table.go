package view

import (
	"strings"
	"unicode/utf8"
)

// cell is one field of a table.
type cell struct {
	text  string
	shade shade
}

// column says how the cells below a title are aligned.
type column struct {
	title string
	right bool
}

// table writes rows under their titles, padded to the widest cell. Escape codes
// do not count as width.
func (s Style) table(p *printer, columns []column, rows [][]cell) {
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = utf8.RuneCountInString(c.title)
	}
	for _, row := range rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	titles := make([]cell, len(columns))
	for i, c := range columns {
		titles[i] = cell{text: c.title, shade: faint}
	}
	for _, row := range append([][]cell{titles}, rows...) {
		var b strings.Builder
		for i, c := range row {
			if i > 0 {
				b.WriteString("  ")
			}
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text))
			if columns[i].right {
				b.WriteString(pad)
			}
			b.WriteString(s.paint(c.shade, c.text))
			if !columns[i].right && i < len(row)-1 {
				b.WriteString(pad)
			}
		}
		p.line(strings.TrimRight(b.String(), " "))
	}
}
