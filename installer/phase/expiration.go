package phase

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"kubebundle/installer/host"
	"kubebundle/installer/pki"
	"kubebundle/manifests"
)

// Expiration is when a certificate of a control plane node ends.
type Expiration struct {
	Name     string // as in `certs renew NAME`
	CA       string // "" for a CA
	Path     string
	NotAfter time.Time
	// External says that the key of the CA (for a CA: its own key) is not on this host.
	External bool
	Missing  bool
	// Broken says why the file is no certificate that works; NotAfter may be known all the same.
	Broken error
}

// Expirations looks at the certificates of a control plane node: those that can be renewed, and the CAs. It is no error that some are
// missing: an external etcd has none here, and super-admin.conf may have been put away.
func Expirations(r host.Reader, certDir string) (leaves, cas []Expiration, err error) {
	external := map[string]bool{}
	for _, ca := range manifests.Authorities() {
		e, _, err := readRenewable(r, certDir, ca, false)
		if err != nil {
			return nil, nil, err
		}
		e.External = !e.Missing && !exists(r, path.Join(certDir, ca.BaseName+".key"))
		external[ca.Name] = e.External
		cas = append(cas, e)
	}
	for _, leaf := range manifests.RenewableCertificates() {
		e, _, err := readRenewable(r, certDir, leaf, true)
		if err != nil {
			return nil, nil, err
		}
		e.External = external[leaf.CA]
		leaves = append(leaves, e)
	}
	return leaves, cas, nil
}

// renewable is what was found of a certificate: the certificate as it is, and for a kubeconfig the whole file.
type renewable struct {
	cert []byte
	conf []byte
}

// readRenewable reads one. Only a host that cannot be read is an error.
func readRenewable(r host.Reader, certDir string, m manifests.Renewable, withKey bool) (Expiration, renewable, error) {
	e := Expiration{Name: m.Name, CA: m.CA, Path: m.Path}
	if m.Path == "" {
		e.Path = path.Join(certDir, m.BaseName+".crt")
	}
	data, err := r.ReadFile(e.Path)
	if errors.Is(err, fs.ErrNotExist) {
		e.Missing = true
		return e, renewable{}, nil
	}
	if err != nil {
		return e, renewable{}, err
	}
	found := renewable{cert: data}
	var key []byte
	if m.Path != "" {
		conf, err := parseKubeconfig(data, path.Dir(m.Path), r)
		if err != nil {
			e.Broken = err
			return e, renewable{conf: data}, nil
		}
		found, key = renewable{cert: conf.cert, conf: data}, conf.key
	} else if withKey {
		key, err = r.ReadFile(strings.TrimSuffix(e.Path, ".crt") + ".key")
		if errors.Is(err, fs.ErrNotExist) {
			e.Broken = errors.New("its key is missing")
		} else if err != nil {
			return e, found, err
		}
	}
	certs, err := pki.ParseCertificates(found.cert)
	if err != nil {
		e.Broken = err
		return e, found, nil
	}
	e.NotAfter = certs[0].NotAfter
	if withKey && key != nil {
		if _, err := pki.Parse(found.cert, key); err != nil {
			e.Broken = err
		}
	}
	return e, found, nil
}

// selectRenewable finds certificates by name; "all" is every one that the node has.
func selectRenewable(names []string) (list []manifests.Renewable, all bool, err error) {
	known := manifests.RenewableCertificates()
	if slices.Contains(names, "all") {
		return known, true, nil
	}
	for _, n := range names {
		i := slices.IndexFunc(known, func(m manifests.Renewable) bool { return m.Name == n })
		if i < 0 {
			return nil, false, fmt.Errorf("unknown certificate %q: known are all, %s", n, strings.Join(RenewableNames(), ", "))
		}
		list = append(list, known[i])
	}
	return list, false, nil
}

// RenewableNames are the names that `certs renew` takes, besides "all".
func RenewableNames() []string {
	var names []string
	for _, m := range manifests.RenewableCertificates() {
		names = append(names, m.Name)
	}
	return names
}
