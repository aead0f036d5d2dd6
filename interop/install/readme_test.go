package install

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"azure-kms-provider/interop/harness"
)

// The README's blocks of commands to play with, as they stand there but for the folder and the build.
func TestTheReadmeStartsTheEmulatorAndTheDaemonByHand(t *testing.T) {
	clone := os.Getenv("CLONE")
	for env, name := range map[string]string{"AZURE_KMS_PROVIDER": "azure-kms-provider", "AKV_EMULATOR": "akv-emulator"} {
		link := filepath.Join(clone, "target", "release", name)
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(harness.Binary(t, env, name), link); err != nil {
			t.Fatal(err)
		}
	}
	start := func(begin string) *harness.Program {
		cmd := exec.Command("bash", "-euc", readmeBlock(t, begin))
		cmd.Dir, cmd.WaitDelay = clone, time.Second // what it started keeps its output open, until the namespace ends
		return harness.StartProgram(t, cmd)
	}
	emulator := start("cargo build --release --workspace --bins\n")
	harness.Eventually(t, patience, "the emulator is ready", func() bool {
		return strings.Contains(emulator.Log(), "ready\n")
	})
	start("xargs -a /tmp/akv/args ")
	harness.Eventually(t, patience, "the daemon is healthy", func() bool {
		return exec.Command("curl", "-sS", "--fail", "http://127.0.0.1:8787/healthz?verbose").Run() == nil
	})
}

// readmeBlock gives the block that begins so, without the build, which was done, and with a folder in here.
func readmeBlock(t *testing.T, begin string) string {
	t.Helper()
	_, rest, found := strings.Cut(readFile(t, filepath.Join(harness.Repository(), "README.md")), "```sh\n"+begin)
	if !found {
		t.Fatalf("the README has no block %q", begin)
	}
	block, _, _ := strings.Cut(rest, "```")
	if !strings.HasPrefix(begin, "cargo") {
		block = begin + block
	}
	return strings.ReplaceAll(block, "/tmp/akv", "/mnt/akv")
}
