package config

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

func (p *problems) node(r *NodeRegistration) {
	if len(validation.IsDNS1123Subdomain(r.Name)) > 0 {
		p.add("nodeRegistration.name", "%q is not a node name: lower case letters, digits, dashes and dots, at most 253; another one than the host name is given with --node-name", r.Name)
	}
	p.args("nodeRegistration.kubeletExtraArgs", r.KubeletExtraArgs)
	for i, t := range r.Taints {
		at := fmt.Sprintf("nodeRegistration.taints[%d]", i)
		if len(validation.IsQualifiedName(t.Key)) > 0 {
			p.add(at+".key", "%q is not the key of a taint", t.Key)
		}
		if t.Value != "" && len(validation.IsValidLabelValue(t.Value)) > 0 {
			p.add(at+".value", "%q is not the value of a taint", t.Value)
		}
		effects := []corev1.TaintEffect{corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute}
		if !slices.Contains(effects, t.Effect) {
			p.add(at+".effect", "unknown %q: known are NoSchedule, PreferNoSchedule, NoExecute", t.Effect)
		}
	}
	p.pullPolicy("nodeRegistration.imagePullPolicy", r.ImagePullPolicy)
}

// pullPolicy accepts those under which nothing is pulled; "" is none given.
func (p *problems) pullPolicy(field string, policy corev1.PullPolicy) {
	switch policy {
	case "", corev1.PullNever, corev1.PullIfNotPresent:
	case corev1.PullAlways:
		p.add(field, "Always needs a registry, and images come from the bundle: use IfNotPresent or Never")
	default:
		p.add(field, "unknown %q: known are IfNotPresent, Never", policy)
	}
}

// socket brings a CRI socket into the form of a URL; a plain path was usual before v1.24.
func socket(text, field string, p *problems) string {
	if strings.HasPrefix(text, "/") {
		text = "unix://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "unix" || u.Host != "" || !strings.HasPrefix(u.Path, "/") || len(u.Path) < 2 {
		p.add(field, "%q is not a socket such as %s", text, DefaultCRISocket)
	}
	return text
}

func (p *problems) token(field string, t *BootstrapToken) {
	if t.Token != "" {
		p.tokenForm(field+".token", t.Token)
	}
	switch {
	case t.TTL != nil && t.Expires != nil:
		p.add(field, "both ttl and expires are given: leave one out")
	case t.TTL != nil && t.TTL.Duration < 0:
		p.add(field+".ttl", "%s is negative; 0 means never", t.TTL.Duration)
	}
	for _, u := range t.Usages {
		if !slices.Contains(DefaultTokenUsages(), u) {
			p.add(field+".usages", "unknown %q: known are %s", u, strings.Join(DefaultTokenUsages(), ", "))
		}
	}
	for _, g := range t.Groups {
		// cluster-bootstrap/token/api: BootstrapGroupPattern
		if !regexp.MustCompile(`^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$`).MatchString(g) {
			p.add(field+".groups", "%q does not begin with system:bootstrappers: and go on with lower case letters, digits, colons and dashes", g)
		}
	}
	if len(t.Groups) > 0 && !slices.Contains(t.Usages, "authentication") && !slices.Equal(t.Groups, []string{DefaultTokenGroup}) {
		p.add(field+".groups", "groups mean nothing without the usage authentication")
	}
}

// tokenForm checks a token. It is a secret, so no message quotes it.
func (p *problems) tokenForm(field, token string) {
	if !regexp.MustCompile(`^[a-z0-9]{6}\.[a-z0-9]{16}$`).MatchString(token) {
		p.add(field, "is not a token: six lower case letters or digits, a dot, sixteen more")
	}
}
