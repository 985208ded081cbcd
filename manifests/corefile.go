package manifests

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
)

// corefile is the CoreDNS configuration that kubeadm of that minor gives the CoreDNS it ships (phases/addons/dns of kubeadm 1.10 … 1.37;
// the spans below are read from all those trees). Feeding it to a much newer or older CoreDNS does not work: plugins come and go.
//
// Without name servers there is no forward (or proxy) block: CoreDNS stops with "plugin/forward: no nameservers found" when its
// resolv.conf, which is the host's, is empty. Names outside the cluster are then refused at once instead of timing out.
func corefile(v *version.Version, domain string, hasNameservers bool) string {
	server := block{name: ".:53"}
	server.add(always, line("errors"))
	server.add(until(16), line("health"))
	server.add(since(17), block{name: "health", body: []directive{line("lameduck 5s")}})
	server.add(since(16), line("ready"))

	zone := block{name: "kubernetes " + domain + " in-addr.arpa ip6.arpa"}
	zone.add(always, line("pods insecure"))
	zone.add(until(15), line("upstream"))
	zone.add(always, line("fallthrough in-addr.arpa ip6.arpa"))
	zone.add(since(15), line("ttl 30"))
	server.add(always, zone.at(v))

	server.add(always, line("prometheus :9153"))
	if hasNameservers {
		server.add(until(13), line("proxy . /etc/resolv.conf"))
		server.add(between(14, 18), line("forward . /etc/resolv.conf"))
		server.add(since(19), block{name: "forward . /etc/resolv.conf", body: []directive{line("max_concurrent 1000")}})
	} else {
		server.add(always, line("# The host had no name servers when this was made, so nothing is forwarded: CoreDNS refuses to"))
		server.add(always, line("# start a \"forward . /etc/resolv.conf\" that finds none. Add that line here once the hosts have some."))
	}
	server.add(until(31), line("cache 30"))
	server.add(since(32), block{name: "cache 30", body: []directive{line("disable success " + domain), line("disable denial " + domain)}})
	server.add(since(12), line("loop"))
	server.add(since(11), line("reload"))
	server.add(since(12), line("loadbalance"))
	return server.at(v).render("")
}

// directive is a line or a block of a Corefile.
type directive interface {
	render(indent string) string
}

type line string

func (l line) render(indent string) string { return indent + string(l) + "\n" }

// block is a directive with a body. rows collects a body by version until at picks it.
type block struct {
	name string
	body []directive
	rows []row[directive]
}

func (b *block) add(s span, d directive) { b.rows = append(b.rows, row[directive]{s, d}) }

// at keeps the rows of one version.
func (b block) at(v *version.Version) block {
	for _, r := range b.rows {
		if r.has(minorOf(v)) {
			b.body = append(b.body, r.value)
		}
	}
	b.rows = nil
	return b
}

func (b block) render(indent string) string {
	var out strings.Builder
	out.WriteString(indent + b.name + " {\n")
	for _, d := range b.body {
		out.WriteString(d.render(indent + "    "))
	}
	out.WriteString(indent + "}\n")
	return out.String()
}
