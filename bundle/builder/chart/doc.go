// Package chart renders Helm charts into manifests. It is the one home of the Helm library, and only its pure half: loading a chart,
// merging values, executing templates. Nothing here speaks to a cluster; a chart's dependencies must lie in its charts folder.
//
// # What a chart becomes
//
// One manifest of a bundle, which `init` applies like any other: the custom resource definitions of the chart and of its subcharts,
// then the templates in Helm's own order of kinds, each under a comment with the template it comes from. A namespace other than those
// that Kubernetes makes itself comes first, and is written into the objects that name none.
//
// The cluster does not exist yet, so the chart is told what it will be: the bundle's Kubernetes version, and the API versions that a
// server of that version serves by default. lookup finds nothing, and names are not resolved.
//
// # The same bytes
//
// A chart is rendered twice. If a template gives something else the second time (random passwords, certificates), that is an error:
// it would be another bundle each time, with one secret in it for every cluster that is made from it. The values of most charts let
// such things be given. The time is that of the bundle's files, not that of
// the clock, and local time is UTC wherever it is built.
//
// # Hooks
//
// There is no Helm on the other side to run hooks, wait for them and delete them. Those of an installation are applied as ordinary
// objects, by weight: pre-install before the rest, post-install after it. Jobs among them start as soon as their pods can, and
// must bear that what they wait for comes a little later; their delete policies have no effect. Tests and the hooks of upgrades,
// rollbacks and deletions are left out. Both are said as warnings.
package chart
