package config

// Init is a complete, defaulted and validated configuration of `init`: kubeadm's InitConfiguration, ClusterConfiguration
// and the component documents beside them.
type Init struct{}

// Join is the same for `join`.
type Join struct{}
