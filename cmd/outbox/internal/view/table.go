package view

import (
	"strings"
	"unicode/utf8"
)

// cell is the text in one row and column of a table, and its colour.
type cell struct {
	text  string
	shade shade
}

// column is the title of a column, and whether its cells are aligned to the right.
type column struct {
	title string
	right bool
}

// table writes a line of titles and then the rows, with each column as wide as its widest cell.
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
