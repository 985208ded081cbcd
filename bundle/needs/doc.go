// Package needs says which images an installation from a bundle can ask for. The builder packs by it, and `bundler verify`,
// `install verify` and preflight check by it, so that they agree. It works on bytes that it is given and on bundles: it links no
// client of a registry.
//
// # Images of manifests
//
// Found at any depth, and packed:
//
//   - the images of every list called containers, initContainers or ephemeralContainers, in any kind: pods, their templates,
//     templates of templates, custom resources of operators, and all of these inside a List;
//   - image volumes (Kubernetes 1.31);
//   - any other field called image, or whose name ends in Image, and environment variables RELATED_IMAGE_… (a convention of
//     operators), if they are written with a tag or digest; a mapping with repository and tag, as in values of charts;
//   - the defaults that a CustomResourceDefinition gives to such fields: an operator would start them without being told;
//   - all of that once more in strings that are Kubernetes objects themselves: a ConfigMap whose data is a manifest.
//
// Not certain, so only reported (Found.Maybe), and packed if named with --image: other strings that look like a reference with
// registry and tag (--config-reloader=quay.io/…:v1), and lines with image: in texts that are no YAML, such as templates in a
// ConfigMap. What an operator has compiled in cannot be seen from outside.
//
// A container that would be pulled although its image is present (imagePullPolicy Always, or no policy and the tag latest) is a
// warning, because no registry will answer.
package needs
