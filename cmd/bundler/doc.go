// Command bundler runs where there is a network and writes bundles: everything that hosts without one need to become a
// Kubernetes cluster, in one file per architecture.
//
// Standard output is for machines: the path and digest of what was built, a list, a contract. Everything for people
// goes to standard error: bars on a terminal, one line per event in a pipe. -o json makes both of them JSON. This
// package only wires; what a build is stands in package bundle/builder.
package main
