package restart

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	os.Exit(table.PublishAfter(m, "RELIABILITY_TABLE"))
}
