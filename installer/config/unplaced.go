package config

import (
	"fmt"
	"net"
)

// NamedVersion is the Kubernetes version that flags or their file name; "" where they name none, or a label such as stable-1.
func NamedVersion(f *InitFlags, read ReadFile) (string, error) {
	docs, err := readDocuments(f.Config, read)
	if err != nil {
		return "", err
	}
	given := f.KubernetesVersion
	if docs.cluster != nil {
		given = override(given, docs.cluster.KubernetesVersion)
	}
	if isLabel(given) {
		return "", nil
	}
	v, err := parseVersion(given)
	if err != nil {
		return "", usage(fmt.Errorf("kubernetesVersion: %w", err))
	}
	return v, nil
}

// Unplaced is the environment of a configuration that is for no host in particular: name and address are kubeadm's placeholders.
func Unplaced(kubernetesVersion, imageRepository string) Environment {
	return Environment{
		Hostname: placeholderNode, DefaultRouteIP: net.ParseIP(placeholderAddress), KubernetesVersion: kubernetesVersion, ImageRepository: imageRepository,
		Addresses: []net.IPNet{{IP: net.ParseIP(placeholderAddress), Mask: net.CIDRMask(24, 32)}},
	}
}

// Placeholder reports whether an address is the one that stands for none.
func Placeholder(address string) bool { return address == placeholderAddress }
