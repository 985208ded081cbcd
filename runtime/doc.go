// Package runtime is what the installer needs of a container runtime: to ask what it is, to ask which images it lacks, and to give
// it those images from one pass over verified content. It is deliberately small. Containers, pods and logs are the kubelet's business.
//
// Two implementations live below: runtime/containerd applies layers straight into snapshots, runtime/docker streams a docker-archive to
// the Engine API. runtime/open picks one from a CRI socket, and runtime/runtimetest is the conformance suite that both pass.
//
// # What every implementation promises
//
//   - Content is checked. A layer counts as loaded only after its bytes hashed to its diff ID; a manifest, config or index only after it
//     hashed to its digest; and an image only after these agree with each other. Whatever does not is [ErrCorrupt].
//   - Nothing is visible under an image's name before all of the image is there, on stable storage where the runtime lets us ask for that.
//   - A killed Load leaves nothing that a second one trips over. What it left is either used by the second one or collected by the runtime.
//   - A Load of what is already there reads nothing from its source and changes nothing.
//   - The daemon's database and folders are never touched behind its back: everything goes through its API, to paths that it handed out.
//   - No image is ever pulled. There is no code path here that names a registry.
package runtime
