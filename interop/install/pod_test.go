package install

import (
	"path/filepath"
	"slices"
	"testing"

	"azure-kms-provider/interop/harness"
	corev1 "k8s.io/api/core/v1"
	defaults "k8s.io/kubernetes/pkg/apis/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// What the pod needs that Pod Security's profiles forbid; docs/security.md says why.
var needed = map[api.Level][]string{
	api.LevelBaseline: {"hostNamespaces", "hostPathVolumes", "hostPorts", "hostProbesAndHostLifecycle"},
	api.LevelRestricted: {"hostNamespaces", "hostPathVolumes", "hostPorts", "hostProbesAndHostLifecycle",
		"restrictedVolumes", "runAsNonRoot", "runAsUser"},
}

func TestPodSecurityFindsInTheManifestOnlyWhatTheDocumentsSay(t *testing.T) {
	text := readFile(t, filepath.Join(harness.Repository(), "manifests", "azure-kms-provider.yaml"))
	object, _, err := strictDecoder(t).Decode([]byte(text), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	pod, ok := object.(*corev1.Pod)
	if !ok {
		t.Fatalf("not a pod but %T", object)
	}
	defaults.SetObjectDefaults_Pod(pod) // as in the API, where the profiles see it
	for level, expected := range needed {
		var found []string
		for _, check := range policy.DefaultChecks() {
			if failed(check, level, pod) {
				found = append(found, string(check.ID))
			}
		}
		slices.Sort(found)
		if !slices.Equal(found, expected) {
			t.Errorf("%s: %v", level, found)
		}
	}
}

// failed says whether the newest version of a check forbids the pod at that level.
func failed(check policy.Check, level api.Level, pod *corev1.Pod) bool {
	if check.Level == api.LevelRestricted && level == api.LevelBaseline {
		return false
	}
	newest := check.Versions[len(check.Versions)-1]
	return !newest.CheckPod(&pod.ObjectMeta, &pod.Spec).Allowed
}
