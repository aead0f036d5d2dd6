package apiserver

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"azure-kms-provider/interop/harness"
	"azure-kms-provider/interop/kubernetes/encryption"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func get(client *http.Client, url string) (string, error) {
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", response.StatusCode)
	}
	return string(body), err
}

func TestObjectsAreSealedInEtcdAndServedInClear(t *testing.T) {
	for _, api := range encryption.Both {
		t.Run(api.Name, func(t *testing.T) {
			daemon := harness.StartDaemon(t, harness.StartEmulator(t))
			c := startCluster(t, configFor(t, api, daemon))
			ready, err := c.readyz(t)
			if err != nil || !strings.Contains(ready, "[+]kms-providers ok") {
				t.Errorf("readyz: %v\n%s", err, ready)
			}
			writesAndReads(t, c, api.Prefix(encryption.Provider))
		})
	}
}

// writesAndReads creates, lists and replaces an object, and looks at what is stored of it.
func writesAndReads(t *testing.T, c *cluster, prefix string) {
	t.Helper()
	c.create(t, "first", "swordfish")
	c.wantSealed(t, "first", "swordfish", prefix)
	list, err := c.client.List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 {
		t.Fatalf("list: %v, %v", list, err)
	}
	object := c.wantWord(t, "first", "swordfish")
	object.Object["word"] = "marlin"
	if _, err := c.client.Update(t.Context(), object, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.wantWord(t, "first", "marlin")
	c.wantSealed(t, "first", "marlin", prefix)
}

func TestReadyzFailsWhileTheDaemonIsDownAndIsGreenWhenItIsBack(t *testing.T) {
	daemon := harness.StartDaemon(t, harness.StartEmulator(t))
	c := startCluster(t, configFor(t, encryption.V1, daemon))
	daemon.Terminate(t)
	readyzIs := func(text string) func() bool {
		return func() bool { ready, _ := c.readyz(t); return strings.Contains(ready, text) }
	}
	harness.Eventually(t, time.Minute, "readyz fails", readyzIs("[-]kms-providers failed"))
	daemon.Start(t)
	harness.Eventually(t, time.Minute, "readyz is green", readyzIs("[+]kms-providers ok"))
}

// bothProviders writes with v2 and still reads what v1 wrote.
func bothProviders(daemon *harness.Daemon) string {
	return fmt.Sprintf(`kind: EncryptionConfiguration
apiVersion: apiserver.config.k8s.io/v1
resources:
  - resources:
      - %[1]s
    providers:
      - kms:
          apiVersion: v2
          name: %[2]s-v2
          endpoint: %[3]s
      - kms:
          name: %[2]s
          endpoint: %[3]s
      - identity: {}
`, resource, encryption.Provider, encryption.Endpoint(daemon.Socket))
}

func TestAReloadedConfigurationMovesObjectsFromV1ToV2WithoutARestart(t *testing.T) {
	daemon := harness.StartDaemon(t, harness.StartEmulator(t))
	c := startCluster(t, configFor(t, encryption.V1, daemon))
	c.create(t, "old", "swordfish")
	c.wantSealed(t, "old", "swordfish", encryption.V1.Prefix(encryption.Provider))

	c.configure(t, bothProviders(daemon))
	v2 := encryption.V2.Prefix(encryption.Provider + "-v2")
	tries := 0
	harness.Eventually(t, time.Minute, "new objects are sealed with v2", func() bool {
		name := fmt.Sprintf("new-%d", tries)
		tries++
		c.create(t, name, "marlin")
		return strings.HasPrefix(c.stored(t, name), v2)
	})
	object := c.wantWord(t, "old", "swordfish")
	if _, err := c.client.Update(t.Context(), object, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.wantSealed(t, "old", "swordfish", v2)
	c.wantWord(t, "old", "swordfish")
}
