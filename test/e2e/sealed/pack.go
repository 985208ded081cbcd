package sealed

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kubebundle/test/e2e/suite"
	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/upstream"
)

const (
	policy = "rules: none\n"

	appImage  = "registry.example.com/site/app:1"
	toolImage = "registry.example.com/site/tool:1"
)

// The site's chart. A bare Pod would come before its namespace's service account.
var chart = map[string]string{
	"Chart.yaml":  "apiVersion: v2\nname: sealed\nversion: 1.0.0\n",
	"values.yaml": "image: none\n",
	"templates/app.yaml": `apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: {{ .Release.Name }}
spec:
  selector:
    matchLabels: {app: sealed}
  template:
    metadata:
      labels: {app: sealed}
    spec:
      hostNetwork: true
      tolerations: [{operator: Exists}]
      terminationGracePeriodSeconds: 0
      containers:
      - name: app
        image: {{ .Values.image }}
        command: [sh, -c, 'cat /site/policy.yaml; exec sleep 1000000']
        volumeMounts: [{name: site, mountPath: /site}]
      volumes:
      - name: site
        hostPath: {path: /etc/site}
`,
}

// pack makes a key pair and, on the suite's bundle, a signed delta that trusts it. It returns the public key as well.
func pack(t *testing.T, s *suite.Suite) (clusters.Bundle, string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for name, text := range chart {
		write(filepath.Join("sealed", name), text, 0o644)
	}
	secret, public := filepath.Join(dir, "site.key"), filepath.Join(dir, "site.pub")
	key, err := exec.CommandContext(t.Context(), s.Programs.Bundler, "keygen", "--no-password", "--secret-key", secret, "--public-key", public).Output()
	if err != nil {
		t.Fatal(err)
	}
	img, ok := s.Upstream.Image(upstream.BusyboxImage)
	if !ok {
		t.Fatalf("the lab does not serve %s", upstream.BusyboxImage)
	}
	// The lab's busybox under names that the release does not know.
	var more []upstream.Image
	for _, name := range []string{appImage, toolImage} {
		img.Names = []string{name}
		more = append(more, img)
	}
	err = s.Pack(t.Context(), s.Programs, more, "--output-dir", dir, "--base", s.Bundle.Path, "--sign-key", secret, "--trusted-key", public,
		"--chart", filepath.Join(dir, "sealed"), "--set", "image="+appImage, "--image", toolImage,
		"--include", write("policy.yaml", policy, 0o640)+":/etc/site/")
	if err != nil {
		t.Fatal(err)
	}
	folder := fmt.Sprintf("%s-from-%s", s.Bundle.Folder, s.Version)
	return clusters.Bundle{Path: filepath.Join(dir, folder+".tar.gz"), Folder: folder}, strings.TrimSpace(string(key))
}
