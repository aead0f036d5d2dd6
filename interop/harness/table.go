package harness

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Table is a markdown table of what a test measured; safe for concurrent use.
type Table struct {
	head []string
	mu   sync.Mutex
	rows map[int]string
}

// NewTable gives a table without rows.
func NewTable(columns ...string) *Table {
	ruler := strings.TrimSuffix(strings.Repeat("---|", len(columns)), "|")
	return &Table{head: []string{line(columns), "|" + ruler + "|"}, rows: map[int]string{}}
}

// Row adds a row. Its place is given because parallel tests end in any order.
func (t *Table) Row(place int, cells ...any) {
	texts := make([]string, len(cells))
	for i, cell := range cells {
		texts[i] = fmt.Sprint(cell)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows[place] = line(texts)
}

func line(cells []string) string {
	return "| " + strings.Join(cells, " | ") + " |"
}

func (t *Table) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := slices.Clone(t.head)
	places := make([]int, 0, len(t.rows))
	for place := range t.rows {
		places = append(places, place)
	}
	slices.Sort(places)
	for _, place := range places {
		lines = append(lines, t.rows[place])
	}
	return strings.Join(lines, "\n") + "\n"
}

// PublishAfter runs the tests of a package and gives the exit code. If all tests passed it prints the table, and
// writes it to the file that the environment variable names, if it names one.
func (t *Table) PublishAfter(m *testing.M, env string) int {
	code := m.Run()
	if code != 0 {
		return code
	}
	if err := t.publish(env); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func (t *Table) publish(env string) error {
	fmt.Print(t)
	if file := os.Getenv(env); file != "" {
		return os.WriteFile(file, []byte(t.String()), 0o644)
	}
	return nil
}
