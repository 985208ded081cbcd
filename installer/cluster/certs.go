package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// The Secret in which certificates travel to a further control plane, and how long it stays (kubeadm 1.34 phases/copycerts; facts 6.5).
const (
	certsSecret = "kubeadm-certs"
	CertsTTL    = 2 * time.Hour
	certsOwner  = "Proxy for managing TTL for the kubeadm-certs secret" // kubeadm's description of the token that owns it
)

// PutCerts stores sealed certificates. They vanish by themselves after CertsTTL: the Secret is owned by a bootstrap token that nobody can
// use for anything, and with whose expiry the cluster's own token cleaner and garbage collector take both away.
func (c *Client) PutCerts(ctx context.Context, sealed map[string][]byte, now time.Time) error {
	owner, err := NewToken()
	if err != nil {
		return err
	}
	owner.Description, owner.Expires = certsOwner, now.Add(CertsTTL)
	if err := c.PutToken(ctx, owner); err != nil {
		return err
	}
	err = retry(ctx, func(ctx context.Context) error {
		secrets := c.Kube.CoreV1().Secrets(metav1.NamespaceSystem)
		token, err := secrets.Get(ctx, owner.secret().Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		want := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: certsSecret, Namespace: metav1.NamespaceSystem, OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "v1", Kind: "Secret", Name: token.Name, UID: token.UID, Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true),
			}}},
			Type: corev1.SecretTypeOpaque, Data: sealed,
		}
		live, err := secrets.Get(ctx, certsSecret, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			_, err = secrets.Create(ctx, want, metav1.CreateOptions{})
			return err
		}
		if err != nil {
			return err
		}
		live.Data, live.OwnerReferences = want.Data, want.OwnerReferences
		_, err = secrets.Update(ctx, live, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("store Secret kube-system/%s: %w", certsSecret, err)
	}
	return c.dropFormerOwners(ctx, owner.ID)
}

// dropFormerOwners deletes the owners of earlier uploads, and of uploads that were cut off: they own nothing any more.
func (c *Client) dropFormerOwners(ctx context.Context, owner string) error {
	tokens, err := c.Tokens(ctx)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if t.Description != certsOwner || t.ID == owner {
			continue
		}
		if err := c.DeleteToken(ctx, t.ID); err != nil && !errors.Is(err, ErrNoToken) {
			return err
		}
	}
	return nil
}

// ErrNoCerts says that no certificates are on their way: they were never uploaded, or two hours have passed.
var ErrNoCerts = errors.New("the cluster holds no certificates for a further control plane: they were never uploaded, or have expired")

// Certs reads the sealed certificates; ErrNoCerts where there are none.
func (c *Client) Certs(ctx context.Context) (map[string][]byte, error) {
	s, err := c.Kube.CoreV1().Secrets(metav1.NamespaceSystem).Get(ctx, certsSecret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) { // the Role comes with the upload
		return nil, ErrNoCerts
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret kube-system/%s: %w", certsSecret, err)
	}
	return s.Data, nil
}

// Certs reads them with the node's bootstrap credentials.
func (x *Discovery) Certs(ctx context.Context, info *ClusterInfo) (sealed map[string][]byte, err error) {
	c, err := x.Client(info)
	if err != nil {
		return nil, err
	}
	return c.Certs(ctx)
}
