// Package phase plans an installation. A phase looks at the host and at what earlier phases left in State, and answers with steps:
// effects as values, which only the engine applies. No phase changes anything, so a dry run, a re-run after a crash and the real thing
// are the same plans.
//
// # Names
//
// Phases carry kubeadm's names, so that --skip-phases, `install phase NAME` and people's habits mean the same here. Ours between them:
// install-binaries, include-files and load-images (kubeadm leaves them to packages and to a registry), service-route, extra-manifests, discovery, wait-node.
// InitPhases and JoinPhases are the workflows, each one slice that reads from top to bottom.
//
// # State
//
// A plan may not depend on effects of another phase that are not applied yet: in a dry run they never are. So everything that later
// phases need (certificates, kubeconfigs, the token) is made in memory by whoever needs it first and kept in State. What lies on the
// host already comes first, always: a CA that is there is used, never replaced; what does not fit is a MisfitError that says why.
// That is also what makes a second run plan the very same bytes, and every step of it satisfied.
//
// # Preflight
//
// Preflight reports everything that is wrong at once, under kubeadm's check names (--ignore-preflight-errors knows them), each with
// the command that fixes it, and all commands together as one block to paste. It uses no network and no DNS. What an earlier run of this
// installer left (files with exactly the bytes that would be written, ports that its own components hold) is no problem.
//
// # Promises
//
// The server in a node's kubeconfig is the address that was given to join. A user's file is never overwritten with other content unless
// it is one that kubeadm itself always owns (static pods, the kubelet's configuration), and then preflight has refused before. Secrets
// appear in no step's text.
package phase
