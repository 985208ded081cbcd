package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// LoadJoin makes the configuration of `join`; args are the command's arguments: the endpoint (host:port), or nothing.
func LoadJoin(f *JoinFlags, args []string, read ReadFile, env Environment) (*Join, error) {
	if err := refuseMixed(f.set, ownFlags(&JoinFlags{})); err != nil {
		return nil, err
	}
	if len(args) > 1 {
		return nil, usage(fmt.Errorf("join takes one address of the API server (host:port), not %d: %s", len(args), strings.Join(args, " ")))
	}
	docs, err := readDocuments(f.Config, read)
	if err != nil {
		return nil, err
	}
	file := docs.join
	switch {
	case f.Config == "":
		file = f.document(args)
	case file == nil:
		return nil, usage(fmt.Errorf("%s: has no JoinConfiguration", f.Config))
	case len(args) > 0:
		return nil, usage(fmt.Errorf("the address %s stands beside --config: write it into the file, as discovery.bootstrapToken.apiServerEndpoint", args[0]))
	}
	var p problems
	c := &Join{
		Discovery:             file.Discovery,
		NodeRegistration:      file.NodeRegistration,
		CACertPath:            override(file.CACertPath, DefaultCACertPath),
		ControlPlane:          file.ControlPlane,
		SkipPhases:            names(overrideList(f.SkipPhases, file.SkipPhases)),
		PatchesDir:            patchesDir(f.PatchesDir, file.Patches),
		Timeouts:              timeouts(file.Timeouts, &p),
		IgnorePreflightErrors: names(f.IgnorePreflightErrors, file.NodeRegistration.IgnorePreflightErrors),
		DryRun:                f.DryRun || file.DryRun,
		CertValidity:          f.CertValidity,
	}
	c.NodeRegistration.Name = override(f.NodeName, c.NodeRegistration.Name)
	c.NodeRegistration.IgnorePreflightErrors = nil
	c.setDefaults(env, &p)
	c.validate(&p)
	switch {
	case f.CertValidity < 0:
		p.add("cert-validity", "%s is not a validity", f.CertValidity)
	case f.CertValidity > 0 && c.ControlPlane == nil:
		p.add("cert-validity", "a worker has no certificates of its own making: its kubelet's comes from the cluster")
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// document is what the flags would be as a file.
func (f *JoinFlags) document(args []string) *JoinConfiguration {
	c := &JoinConfiguration{
		NodeRegistration: NodeRegistration{CRISocket: f.CRISocket},
		Discovery:        Discovery{TLSBootstrapToken: override(f.TLSBootstrapToken, f.Token)},
	}
	token := f.DiscoveryToken
	if f.DiscoveryFile != "" {
		c.Discovery.File = &FileDiscovery{KubeConfigPath: f.DiscoveryFile}
	} else {
		token = override(token, f.Token)
	}
	if len(args) > 0 || token != "" {
		c.Discovery.BootstrapToken = &BootstrapTokenDiscovery{
			Token: token, CACertHashes: f.CACertHashes, UnsafeSkipCAVerification: f.UnsafeSkipCAVerification,
		}
		if len(args) > 0 {
			c.Discovery.BootstrapToken.APIServerEndpoint = args[0]
		}
	}
	if f.ControlPlane {
		c.ControlPlane = &JoinControlPlane{
			LocalAPIEndpoint: APIEndpoint{AdvertiseAddress: f.AdvertiseAddress, BindPort: f.BindPort},
			CertificateKey:   f.CertificateKey,
		}
	}
	return c
}

func (c *Join) setDefaults(env Environment, p *problems) {
	defaultNode(&c.NodeRegistration, env, p)
	toward := net.IP(nil)
	if t := c.Discovery.BootstrapToken; t != nil {
		c.Discovery.TLSBootstrapToken = override(c.Discovery.TLSBootstrapToken, t.Token)
		t.APIServerEndpoint = endpoint("discovery.bootstrapToken.apiServerEndpoint", t.APIServerEndpoint, DefaultBindPort, p)
		if host, _, err := net.SplitHostPort(t.APIServerEndpoint); err == nil {
			toward = net.ParseIP(host)
		}
	}
	if file := c.Discovery.File; file != nil {
		if u, err := url.Parse(file.KubeConfigPath); err == nil && u.Scheme == "file" {
			file.KubeConfigPath = u.Path
		}
	}
	if c.ControlPlane != nil {
		e := &c.ControlPlane.LocalAPIEndpoint
		defaultPort(e)
		advertise(e, "controlPlane.localAPIEndpoint.advertiseAddress", env, toward, nil, p)
		c.NodeIP = nodeIP(&c.NodeRegistration, net.ParseIP(e.AdvertiseAddress))
		return
	}
	if c.NodeIP = nodeIP(&c.NodeRegistration, nil); c.NodeIP != nil {
		return
	}
	ip, err := NodeAddress(env.Addresses, env.DefaultRouteIP, toward)
	if err != nil && c.Discovery.File != nil {
		return // the file says where the cluster is, and with that the address can be chosen
	}
	if err != nil {
		p.add("nodeRegistration.kubeletExtraArgs", "%v; say which one is the node's with the argument node-ip, in a file given by --config", err)
		return
	}
	c.NodeIP = ip
}

func (c *Join) validate(p *problems) {
	p.node(&c.NodeRegistration)
	p.absolute("caCertPath", c.CACertPath)
	p.discovery(&c.Discovery)
	if c.ControlPlane != nil {
		p.port("controlPlane.localAPIEndpoint.bindPort", c.ControlPlane.LocalAPIEndpoint.BindPort)
		if c.ControlPlane.CertificateKey != "" {
			p.certificateKey("controlPlane.certificateKey", c.ControlPlane.CertificateKey)
		}
	}
}

func (p *problems) discovery(d *Discovery) {
	const joinHint = "`install token create --print-join-command` on the control plane prints the whole command"
	if d.TLSBootstrapToken != "" {
		p.tokenForm("discovery.tlsBootstrapToken", d.TLSBootstrapToken)
	}
	switch {
	case d.BootstrapToken == nil && d.File == nil:
		p.add("discovery", "neither an address with a token nor a discovery file is given: %s", joinHint)
		return
	case d.BootstrapToken != nil && d.File != nil:
		p.add("discovery", "both an address with a token and a discovery file are given: leave one out")
		return
	case d.File != nil:
		p.discoveryFile(d.File.KubeConfigPath)
		return
	}
	t, at := d.BootstrapToken, "discovery.bootstrapToken."
	if t.APIServerEndpoint == "" {
		p.add(at+"apiServerEndpoint", "is needed: the API server's host:port; %s", joinHint)
	}
	if t.Token == "" {
		p.add(at+"token", "is needed; %s", joinHint)
	} else {
		p.tokenForm(at+"token", t.Token)
	}
	for i, hash := range t.CACertHashes {
		if err := pinForm(hash); err != nil {
			p.add(fmt.Sprintf("%scaCertHashes[%d]", at, i), "%q %v; %s", hash, err, joinHint)
		}
	}
	if len(t.CACertHashes) == 0 && !t.UnsafeSkipCAVerification {
		p.add(at+"caCertHashes", "without the pin of the cluster's CA (--discovery-token-ca-cert-hash) anyone who knows the token can pose as the cluster; %s; "+
			"or accept that with --discovery-token-unsafe-skip-ca-verification", joinHint)
	}
}

func (p *problems) discoveryFile(path string) {
	const field = "discovery.file.kubeConfigPath"
	switch u, err := url.Parse(path); {
	case path == "":
		p.add(field, "is needed")
	case err == nil && (u.Scheme == "https" || u.Scheme == "http"):
		p.add(field, "%s is to be fetched over a network, which an air-gapped installer does not do: copy the file here and give its path", path)
	}
}

// pinForm repeats the form that pki.MatchPins knows: the two packages are leaves and do not know each other.
func pinForm(pin string) error {
	digits, ok := strings.CutPrefix(pin, "sha256:")
	if !ok {
		return errors.New(`does not begin with "sha256:"`)
	}
	if len(digits) != 64 || strings.Trim(strings.ToLower(digits), "0123456789abcdef") != "" {
		return errors.New("does not have 64 hex digits")
	}
	return nil
}
