// Package needs says which images an installation from a bundle can ask for. The builder packs by it, and both
// `bundler verify` and `install verify` check by it, so that they agree. It works on bytes that it is given and on
// bundles: it links no client of a registry.
//
// # Images of manifests
//
// They are found at any depth: every list called containers, initContainers or ephemeralContainers, image volumes, and
// any other `image:` that is written with a tag or digest (custom resources of operators). What hides in strings, such
// as a template inside a ConfigMap, is not found. A container that would be pulled although its image is present
// (imagePullPolicy Always, or no policy and the tag latest) is a warning, because no registry will answer.
package needs
