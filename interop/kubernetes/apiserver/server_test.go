// Package apiserver holds no code: its tests run a whole API server of Kubernetes on an embedded etcd, with the
// encryption of a custom resource configured by flags as on a kube-apiserver.
package apiserver

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"azure-kms-provider/interop/harness"
	"azure-kms-provider/interop/kubernetes/encryption"
	clientv3 "go.etcd.io/etcd/client/v3"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	servertesting "k8s.io/apiextensions-apiserver/pkg/cmd/server/testing"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig/controller"
	etcd3testing "k8s.io/apiserver/pkg/storage/etcd3/testing"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// resource is the custom resource that stands for secrets, which this API server does not have.
const resource = "vaults.interop.test"

var vaults = schema.GroupVersionResource{Group: "interop.test", Version: "v1", Resource: "vaults"}

const etcdPrefix = "/interop"

func TestMain(m *testing.M) {
	controller.EncryptionConfigFileChangePollDuration = time.Second // a minute in production
	os.Exit(m.Run())
}

// cluster is an API server, its etcd and its clients.
type cluster struct {
	client     dynamic.ResourceInterface
	rest       *rest.Config
	etcd       *clientv3.Client
	configFile string
}

// startCluster starts an API server with that EncryptionConfiguration and defines the custom resource.
func startCluster(t *testing.T, config string) *cluster {
	t.Helper()
	etcd, storage := etcd3testing.NewUnsecuredEtcd3TestClientServer(t)
	c := &cluster{etcd: etcd.V3Client.Client, configFile: filepath.Join(t.TempDir(), "encryptionconfig.yaml")}
	c.configure(t, config)
	unused := filepath.Join(t.TempDir(), "kubeconfig")
	writeFile(t, unused, kubeconfig("http://127.0.0.1:1", "", ""))
	server, err := servertesting.StartTestServer(t, nil, []string{
		"--etcd-prefix", etcdPrefix, "--etcd-servers", strings.Join(storage.Transport.ServerList, ","),
		"--encryption-provider-config", c.configFile, "--encryption-provider-config-automatic-reload=true",
		"--feature-gates=KMSv1=true",
		// There is no kube-apiserver above it to ask.
		"--authentication-skip-lookup", "--authentication-kubeconfig", unused,
		"--authorization-kubeconfig", unused, "--kubeconfig", unused,
		"--enable-priority-and-fairness=false",
		"--disable-admission-plugins", "NamespaceLifecycle,MutatingAdmissionWebhook,ValidatingAdmissionWebhook," +
			"ValidatingAdmissionPolicy,MutatingAdmissionPolicy",
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.TearDownFn)
	c.rest = server.ClientConfig
	c.define(t)
	return c
}

// configure replaces the file at once, so that the API server never reads half of it.
func (c *cluster) configure(t *testing.T, config string) {
	t.Helper()
	writeFile(t, c.configFile+".new", config)
	if err := os.Rename(c.configFile+".new", c.configFile); err != nil {
		t.Fatal(err)
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// define defines the custom resource and waits until the API server serves it.
func (c *cluster) define(t *testing.T) {
	t.Helper()
	anything := true
	definition := &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: resource},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: vaults.Group, Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{
				Plural: vaults.Resource, Singular: "vault", Kind: "Vault", ListKind: "VaultList",
			},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: vaults.Version, Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type: "object", XPreserveUnknownFields: &anything,
				}},
			}},
		},
	}
	definitions, err := clientset.NewForConfig(c.rest)
	if err != nil {
		t.Fatal(err)
	}
	_, err = definitions.ApiextensionsV1().CustomResourceDefinitions().Create(t.Context(), definition, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	client, err := dynamic.NewForConfig(c.rest)
	if err != nil {
		t.Fatal(err)
	}
	c.client = client.Resource(vaults).Namespace("default")
	harness.Eventually(t, 30*time.Second, "the custom resource is served", func() bool {
		_, err := c.client.List(context.Background(), metav1.ListOptions{})
		return err == nil
	})
}

// vault is an object that holds the word.
func vault(name, word string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "interop.test/v1", "kind": "Vault",
		"metadata": map[string]any{"name": name, "namespace": "default"},
		"word":     word,
	}}
}

func (c *cluster) create(t *testing.T, name, word string) {
	t.Helper()
	if _, err := c.client.Create(t.Context(), vault(name, word), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// wantWord wants the object to hold the word.
func (c *cluster) wantWord(t *testing.T, name, word string) *unstructured.Unstructured {
	t.Helper()
	object, err := c.client.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if object.Object["word"] != word {
		t.Errorf("%s holds %v, not %q", name, object.Object["word"], word)
	}
	return object
}

// stored gives the object's bytes in etcd.
func (c *cluster) stored(t *testing.T, name string) string {
	t.Helper()
	path := fmt.Sprintf("%s/%s/%s/default/%s", etcdPrefix, vaults.Group, vaults.Resource, name)
	answer, err := c.etcd.Get(t.Context(), path)
	if err != nil || len(answer.Kvs) != 1 {
		t.Fatalf("etcd: %v, %v", answer, err)
	}
	return string(answer.Kvs[0].Value)
}

// wantSealed wants the object to be stored under the prefix, and not in clear.
func (c *cluster) wantSealed(t *testing.T, name, word, prefix string) {
	t.Helper()
	stored := c.stored(t, name)
	if !strings.HasPrefix(stored, prefix) || strings.Contains(stored, word) {
		t.Errorf("%s is stored as %.200q", name, stored)
	}
}

// readyz asks for the API server's health. It leaves out informer-sync, which waits for the kube-apiserver above.
func (c *cluster) readyz(t *testing.T) (string, error) {
	t.Helper()
	client, err := rest.HTTPClientFor(c.rest)
	if err != nil {
		t.Fatal(err)
	}
	return get(client, c.rest.Host+"/readyz?verbose&exclude=informer-sync")
}

// configFor gives the operator's configuration for the custom resource.
func configFor(t *testing.T, api encryption.API, daemon *harness.Daemon) string {
	return encryption.Config(t, api, daemon.Socket, "- secrets", "- "+resource)
}
