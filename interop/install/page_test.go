package install

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"azure-kms-provider/interop/harness"
)

// block is one fenced block of the page.
type block struct {
	language string
	text     string
	line     int
}

func (b block) String() string {
	return fmt.Sprintf("docs/install.md:%d", b.line)
}

// page gives the blocks of docs/install.md in their order.
func page(t *testing.T) (blocks []block) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(harness.Repository(), "docs", "install.md"))
	if err != nil {
		t.Fatal(err)
	}
	var open *block
	for number, line := range strings.Split(string(text), "\n") {
		language, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open == nil:
			open = &block{language: language, line: number + 1}
		case fence:
			blocks, open = append(blocks, *open), nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	return blocks
}

// choice is what a reader writes in place of something in the page.
type choice struct{ page, reader string }

// reader is one way through the page.
type reader struct {
	kms     string
	choices []choice
	// passesBy is a part of each block that this reader has no need of.
	passesBy []string
}

// The two readers between them need every block.
var readers = []reader{
	{"v2", []choice{vaultName, clientID}, []string{"az keyvault set-policy"}},
	{"v1", []choice{vaultName, clientID, {"KMS=v2 # or v1", "KMS=v1"}}, []string{"az role assignment create"}},
}

var (
	// The emulator has but one vault.
	vaultName = choice{"KV_NAME=k8skv ", "KV_NAME=emulator "}
	clientID  = choice{"CLIENT_ID=…", "CLIENT_ID=$(jq -r .aadClientId /etc/kubernetes/azure.json)"}
)

// needs says whether the reader runs a block.
func (r reader) needs(b block) bool {
	for _, part := range r.passesBy {
		if strings.Contains(b.text, part) {
			return false
		}
	}
	return true
}

// choose puts the reader's choices into a block.
func (r reader) choose(b block) string {
	for _, choice := range r.choices {
		b.text = strings.ReplaceAll(b.text, choice.page, choice.reader)
	}
	return b.text
}

func TestEveryCommandOfThePageIsRunByAReaderAndEveryChoiceIsInThePage(t *testing.T) {
	var whole strings.Builder
	for _, b := range page(t) {
		whole.WriteString(b.text)
		if b.language == "sh" && !readers[0].needs(b) && !readers[1].needs(b) {
			t.Errorf("%v is run by nobody", b)
		}
	}
	for _, reader := range readers {
		for _, choice := range reader.choices {
			if n := strings.Count(whole.String(), choice.page); n != 1 {
				t.Errorf("%q is %d times in the page", choice.page, n)
			}
		}
		for _, part := range reader.passesBy {
			if n := strings.Count(whole.String(), part); n != 1 {
				t.Errorf("%q is %d times in the page", part, n)
			}
		}
	}
}
