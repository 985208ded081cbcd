package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"kubebundle/installer/config"
)

const pin = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestJoinFlags(t *testing.T) {
	c, err := joinArgs(t, "", "10.77.0.1:6443", "--token", "abcdef.0123456789abcdef", "--discovery-token-ca-cert-hash", pin)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Discovery{
		BootstrapToken:    &config.BootstrapTokenDiscovery{Token: "abcdef.0123456789abcdef", APIServerEndpoint: "10.77.0.1:6443", CACertHashes: []string{pin}},
		TLSBootstrapToken: "abcdef.0123456789abcdef",
	}
	if diff := cmp.Diff(want, c.Discovery); diff != "" {
		t.Error(diff)
	}
	if c.ControlPlane != nil || c.NodeIP.String() != "10.77.0.11" || c.CACertPath != "/etc/kubernetes/pki/ca.crt" || c.NodeRegistration.Name != "cp1" {
		t.Errorf("%+v", c)
	}

	c, err = joinArgs(t, "", "api.example", "--discovery-token=aaaaaa.0123456789abcdef", "--tls-bootstrap-token=bbbbbb.0123456789abcdef", "--discovery-token-unsafe-skip-ca-verification",
		"--control-plane", "--certificate-key="+strings.Repeat("0f", 32), "--apiserver-bind-port=7443")
	if err != nil {
		t.Fatal(err)
	}
	if c.Discovery.BootstrapToken.APIServerEndpoint != "api.example:6443" || c.Discovery.TLSBootstrapToken != "bbbbbb.0123456789abcdef" ||
		c.ControlPlane.LocalAPIEndpoint != (config.APIEndpoint{AdvertiseAddress: "10.77.0.11", BindPort: 7443}) {
		t.Errorf("%+v", c)
	}

	c, err = joinArgs(t, "", "--discovery-file=file:///etc/d.conf", "--token=abcdef.0123456789abcdef")
	if err != nil || c.Discovery.File.KubeConfigPath != "/etc/d.conf" || c.Discovery.TLSBootstrapToken != "abcdef.0123456789abcdef" || c.Discovery.BootstrapToken != nil {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestJoinRefuses(t *testing.T) {
	const secret = "abcdef.0123456789abcdeX"
	for args, want := range map[string]string{
		"":              "discovery: neither an address with a token nor a discovery file is given: `install token create --print-join-command`",
		"a:1 b:1":       "join takes one address",
		"10.0.0.1:6443": "discovery.bootstrapToken.token: is needed",
		"--token=abcdef.0123456789abcdef --discovery-token-unsafe-skip-ca-verification":    "apiServerEndpoint: is needed",
		"10.0.0.1 --token=abcdef.0123456789abcdef":                                         "without the pin of the cluster's CA",
		"10.0.0.1 --token=" + secret + " --discovery-token-unsafe-skip-ca-verification":    "discovery.bootstrapToken.token: is not a token",
		"10.0.0.1 --token=abcdef.0123456789abcdef --discovery-token-ca-cert-hash=md5:0":    `caCertHashes[0]: "md5:0" does not begin with "sha256:"`,
		"10.0.0.1 --token=abcdef.0123456789abcdef --discovery-token-ca-cert-hash=sha256:0": "does not have 64 hex digits",
		"10.0.0.1 --token=abcdef.0123456789abcdef --discovery-file=/x":                     "leave one out",
		"--discovery-file=https://x/y":                                                     "copy the file here",
		"https://10.0.0.1:6443 --token=abcdef.0123456789abcdef":                            "write host:port alone",
		"--config=c.yaml --token=abcdef.0123456789abcdef":                                  "--config cannot be combined with --token",
		"--config=c.yaml 10.0.0.1":                                                         "has no JoinConfiguration",
	} {
		_, err := joinArgs(t, "", strings.Fields(args)...)
		refused(t, err, want)
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("the token is in the error: %v", err)
		}
	}
	const file = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\ndiscovery: {file: {kubeConfigPath: /d.conf}}\n"
	_, err := joinArgs(t, file, "--config=c.yaml", "10.0.0.1")
	refused(t, err, "the address 10.0.0.1 stands beside --config")
	if c, err := joinArgs(t, file+"nodeRegistration: {name: w1}\n", "--config=c.yaml"); err != nil || c.NodeRegistration.Name != "w1" || c.Discovery.TLSBootstrapToken != "" {
		t.Errorf("%+v, %v", c, err)
	}
}

// With a discovery file the cluster's address is not known yet, so several addresses are no error yet.
func TestJoinByFileLeavesTheAddressOpen(t *testing.T) {
	env := environment()
	env.Addresses = append(env.Addresses, address("192.168.5.1/24"))
	c, err := config.LoadJoin(&config.JoinFlags{DiscoveryFile: "/d.conf"}, nil, nil, env)
	if err != nil || c.NodeIP != nil {
		t.Errorf("%+v, %v", c, err)
	}
	f := config.JoinFlags{Token: "abcdef.0123456789abcdef", CACertHashes: []string{pin}}
	if c, err = config.LoadJoin(&f, []string{"192.168.5.9:6443"}, nil, env); err != nil || c.NodeIP.String() != "192.168.5.1" {
		t.Errorf("%+v, %v", c, err)
	}
	_, err = config.LoadJoin(&f, []string{"10.1.1.1:6443"}, nil, env)
	refused(t, err, "several addresses and no default route: 10.77.0.11, 192.168.5.1; say which one is the node's with the argument node-ip")
}

func TestReset(t *testing.T) {
	load := func(content string, args ...string) (*config.Reset, error) {
		var f config.ResetFlags
		set := pflag.NewFlagSet("reset", pflag.ContinueOnError)
		f.AddFlags(set)
		if err := set.Parse(args); err != nil {
			t.Fatal(err)
		}
		return config.LoadReset(&f, files(content))
	}
	want := &config.Reset{CertificatesDir: "/etc/kubernetes/pki", CRISocket: "unix:///x.sock", Force: true, DryRun: true, SkipPhases: []string{"cleanup-node"}, Timeouts: config.DefaultTimeouts()}
	got, err := load("", "-f", "--dry-run", "--cri-socket=/x.sock", "--skip-phases=Cleanup-Node")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	const head = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ResetConfiguration\n"
	if got, err = load(head+"cleanupTmpDir: true\nunmountFlags: [MNT_DETACH]\n", "--config=c.yaml"); err != nil || !got.CleanupTmpDir || got.UnmountFlags[0] != "MNT_DETACH" {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = load(head+"unmountFlags: [X]\ncertificatesDir: /\n", "--config=c.yaml")
	refused(t, err, "unmountFlags: unknown flag", "certificatesDir: \"/\" is the whole file system")
	_, err = load("", "--config=c.yaml")
	refused(t, err, "has no ResetConfiguration")
	_, err = load(head, "--config=c.yaml", "--cert-dir=/x")
	refused(t, err, "--config cannot be combined with --cert-dir")
}

func TestToken(t *testing.T) {
	load := func(content string, args ...string) (*config.BootstrapToken, error) {
		var f config.TokenFlags
		set := pflag.NewFlagSet("create", pflag.ContinueOnError)
		f.AddFlags(set)
		if err := set.Parse(args); err != nil {
			t.Fatal(err)
		}
		return config.LoadToken(&f, set.Args(), files(content))
	}
	got, err := load("")
	if err != nil || got.Token != "" || got.TTL.Duration != 24*time.Hour || len(got.Usages) != 2 || got.Groups[0] != config.DefaultTokenGroup {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = load("", "abcdef.0123456789abcdef", "--ttl=0", "--usages=signing", "--description=x")
	if err != nil || got.Token != "abcdef.0123456789abcdef" || got.TTL.Duration != 0 || got.Usages[0] != "signing" || got.Description != "x" {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = load(initV1beta4, "--config=c.yaml")
	if err != nil || got.Token != "abcdef.0123456789abcdef" || got.TTL.Duration != time.Hour {
		t.Errorf("%+v, %v", got, err)
	}
	for args, want := range map[string]string{
		"x": "token: is not a token", "a b": "takes one token", "--usages=x": "unknown", "--groups=x": "system:bootstrappers:", "--ttl=-1s": "negative",
		"--usages=signing --groups=system:bootstrappers:x": "mean nothing without the usage authentication", "--certificate-key=x": "64 hex digits", "--config=c.yaml --ttl=1h": "cannot be combined",
	} {
		_, err := load(initV1beta4, strings.Fields(args)...)
		refused(t, err, want)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(initV1beta4)
	f.Add("apiVersion: kubeadm.k8s.io/v1beta3\nkind: JoinConfiguration\ndiscovery: {timeout: 1s}\n")
	f.Add("--- {a: b}\n...\n---\n")
	f.Fuzz(func(t *testing.T, content string) {
		if c, err := config.LoadInit(&config.InitFlags{Config: "c.yaml"}, files(content), environment()); err == nil {
			// Whatever is accepted is complete.
			if c.NodeRegistration.Name == "" || c.NodeIP == nil || len(c.BootstrapTokens) == 0 || (c.Cluster.Etcd.Local == nil) == (c.Cluster.Etcd.External == nil) || c.LocalAPIEndpoint.BindPort == 0 {
				t.Errorf("accepted, and not complete: %+v", c)
			}
		}
		if c, err := config.LoadJoin(&config.JoinFlags{Config: "c.yaml"}, nil, files(content), environment()); err == nil && c.NodeIP == nil && c.Discovery.File == nil {
			t.Errorf("accepted, and not complete: %+v", c)
		}
	})
}
