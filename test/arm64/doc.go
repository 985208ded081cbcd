// Package arm64 makes a bundle for a machine that is not there and runs what is in it: `bundler build --version v1.10.6 --arch arm64`, from real
// Kubernetes v1.10.6 that was cross-built from its module, and then the installer and every program of the bundle under an emulator (qemu-user).
//
// What must hold: the bundle has no program of another architecture but the emulator that upstream's kube-proxy of that time carries; every program
// runs and says its version; the images that `bundler images list` names are those that kubeadm v1.10.6 for arm64 and its kubelet ask for, name by
// name; the installer verifies its bundle, looks at its host and plans an installation there; and it refuses a host that only looks like
// arm64 to it.
//
// An emulator is not a machine: nothing is installed here, and no kernel of arm64 is involved.
package arm64
