// Package trust decides who vouches for a bundle.
//
// A signature is in minisign's format: bundle.json.minisig signs the bytes of bundle.json, and `minisign -V` checks it
// as this package does. bundle.json, the contract, holds the digest of every other byte of the bundle, so one
// signature covers all of it. Only SHA256SUMS is not named there, because it names the contract; its digest stands in
// the signature's trusted comment, which is signed too, so that a host with nothing but minisign and sha256sum can go
// from a public key to the last byte (docs/trust.md has the commands).
//
// Keys are minisign's as well: Ed25519, the secret one encrypted with a password (scrypt) or, on request, not.
//
// # Who checks
//
// Open checks the signature before anything else is made of the contract, and the digest of everything that lies in
// the bundle before it is given out. A program that came out of a bundle cannot vouch for that bundle: whoever swaps
// `install` swaps the check. What it can do is refuse other bundles, and its own folder's other files. That is what
// pinned keys are for: `bundler build --trusted-key` writes them into a place that `install` keeps for them, and
// Pinned reads them. The place is part of the program's read-only data: the program looks into its own memory and
// needs neither its file nor /proc.
//
// # What is promised
//
// The place's format has a number. A program that finds keys which it cannot read trusts nothing rather than
// everything.
package trust
