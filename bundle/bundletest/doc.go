// Package bundletest makes small bundles for tests: real ones, written by package bundle, with made-up content.
package bundletest
