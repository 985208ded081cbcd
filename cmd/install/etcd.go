package main

import (
	"context"

	"kubebundle/installer/cluster"
	"kubebundle/installer/etcd"
	"kubebundle/installer/step"
)

// openEtcd connects to the cluster's etcd with credentials that lie on this host. Its members are those that the cluster names: they are
// reached over a dialer that knows no other address.
func (a *app) openEtcd(ctx context.Context, t *step.Target, conn step.EtcdConn) (step.Etcd, error) {
	cfg := etcd.Config{Endpoints: conn.Endpoints}
	for _, f := range []struct {
		path string
		to   *[]byte
	}{{conn.CAFile, &cfg.CA}, {conn.CertFile, &cfg.Cert}, {conn.KeyFile, &cfg.Key}} {
		data, err := a.host.ReadFile(f.path)
		if err != nil {
			return nil, err
		}
		*f.to = data
	}
	if len(cfg.Endpoints) == 0 {
		api, err := t.Cluster(ctx)
		if err != nil {
			return nil, err
		}
		return openMembers(ctx, api, cfg)
	}
	c, _, err := dialEtcd(cfg)
	return c, err
}

// openEtcdFor does the same with credentials that are in memory only.
func openEtcdFor(ctx context.Context, kubeconfig []byte, cfg etcd.Config) (step.Etcd, error) {
	api, err := clientFor(kubeconfig)
	if err != nil {
		return nil, err
	}
	return openMembers(ctx, api, cfg)
}

// openMembers reaches the members whose pods the API shows, and those that they name: the pod of one that has just joined is not shown yet.
func openMembers(ctx context.Context, api *cluster.Client, cfg etcd.Config) (step.Etcd, error) {
	var err error
	if cfg.Endpoints, err = api.EtcdEndpoints(ctx); err != nil {
		return nil, err
	}
	c, d, err := dialEtcd(cfg)
	if err != nil {
		return nil, err
	}
	if members, err := c.Members(ctx); err == nil { // else the caller hears of it
		for _, m := range members {
			d.Allow(m.ClientURLs...)
		}
	}
	return c, nil
}

func dialEtcd(cfg etcd.Config) (step.Etcd, *cluster.Dialer, error) {
	d := cluster.NewDialer(cfg.Endpoints...)
	cfg.Dial = d.DialContext
	c, err := etcd.Open(cfg)
	if err != nil {
		return nil, nil, err // not c: a nil pointer in an interface is not nil
	}
	return c, d, nil
}

// etcdVersion asks an etcd that the configuration names.
func etcdVersion(ctx context.Context, endpoint string, ca, cert, key []byte) (string, error) {
	return etcd.Version(ctx, etcd.Config{Endpoints: []string{endpoint}, CA: ca, Cert: cert, Key: key, Dial: cluster.NewDialer(endpoint).DialContext})
}
