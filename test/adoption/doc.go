// Package adoption shows, on real hosts with the real kubeadm, that each of the two goes on with what the other has made: install joins, renews,
// upgrades and resets nodes of a cluster of kubeadm's, and kubeadm those of a cluster of ours.
package adoption
