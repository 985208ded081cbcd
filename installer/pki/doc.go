// Package pki makes and judges the certificates of a cluster: CAs, leaves, the service account key, and the public key pins
// by which a joining node recognises its cluster.
//
// It works on memory alone. It knows neither paths nor file modes nor which certificates a Kubernetes version wants: manifests
// says that as a list of specs, and steps write the files. The current time comes in as a parameter, so that a plan can be
// repeated and a test can travel; randomness is the operating system's and cannot be replaced, because a certificate authority
// whose keys can be foretold is none.
//
// The forms are those that kubeadm writes, since its tools, and people's scripts, read them: "RSA PRIVATE KEY" (PKCS#1) and
// "EC PRIVATE KEY" blocks for keys, PKIX for sa.pub, positive random serial numbers of 63 bits. A CA is valid for ten years and a leaf
// for one unless the spec says otherwise; both begin five minutes before the given time, because the clocks of machines
// without network differ.
//
// What is read is judged more strictly than what is written: Parse refuses a key that does not belong to its certificate, and Check
// refuses a certificate that would only fail later, inside some component, with a message that nobody connects to its
// cause: expired, signed by another CA, lacking a name. Keys that Parse accepts may be PKCS#1, SEC 1 or PKCS#8, because a
// company's own CA seldom comes out of kubeadm.
//
// All functions are safe for concurrent use. RSA keys take a noticeable time to make, so callers make several at once.
package pki
