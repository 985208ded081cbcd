package main

// Who is measured.
const (
	ourDefault = "bundler build"
	ourFast    = "bundler build --compression fast"
	ourBest    = "bundler build --compression best"
	ourMany    = "bundler build --compression fast, 64 images"
	ourDelta   = "bundler build --base of the patch before"
	crane      = "crane pull --format=oci | zstd -3"
	skopeo     = "skopeo --dest-decompress | zstd -3 --long=27"

	ourLoad      = "install images load"
	ctrImport    = "ctr images import"
	ourLoadAgain = "install images load, again"
	ctrAgain     = "ctr images import, again"

	ourInit      = "install init, images loaded"
	kubeadmInit  = "kubeadm init, images imported"
	ourReady     = "extracted bundle: install init, until the node is Ready"
	kubeadmReady = "ctr images import + kubeadm init + kubectl apply, until the node is Ready"

	ourUpgrade     = "install upgrade apply, kubelet included"
	kubeadmUpgrade = "kubeadm upgrade apply, without the kubelet"
	kubeadmWhole   = "kubeadm upgrade apply, then the kubelet by hand until the node is Ready"
	ourFailed      = "install upgrade apply of an API server that does not start"

	ourSnapshot    = "install etcd snapshot save and restore"
	ourSave        = "install etcd snapshot save"
	ourRestore     = "install etcd snapshot restore"
	etcdByHand     = "etcdctl snapshot save, etcdutl snapshot restore by hand"
	etcdctlSave    = "etcdctl snapshot save"
	etcdutlRestore = "etcdutl snapshot restore by hand"

	ourReset     = "install reset"
	kubeadmReset = "kubeadm reset"

	ourPowerCut       = "three control planes: the one that holds the virtual IP loses its power"
	ourUpgradeOfThree = "three control planes: upgraded one after the other, by two minors"
)

// The parts that -only can choose.
const (
	partBuild  = "build"
	partImport = "import"
	partInit   = "init"

	partUpgrade  = "upgrade"
	partSnapshot = "snapshot"
	partReset    = "reset"
	partHA       = "ha"
)

func allParts() []string {
	return []string{partBuild, partImport, partInit, partUpgrade, partSnapshot, partReset, partHA}
}

// line is one line of the table: a quantity of ours, and the ratio to the same of an opponent's.
type line struct {
	part     string
	quantity quantity
	ours     string
	opponent string // "": the goal is about our own number
	goal     float64
	next     float64 // what a later version is to reach
	why      string  // what stands in the way, for a goal that is not reached
}

// none is the goal that there be none of something.
const none = 1e-9

// lines are all that is measured and promised. A goal of 0 is no goal.
func lines() []line {
	encoder := "What was tried stands in docs/adr/0010-libzstd-encodes.md."
	return []line{
		{part: partBuild, quantity: content, ours: ourDefault, opponent: crane, goal: 0.65, next: 0.60, why: encoder},
		{
			part: partBuild, quantity: size, ours: ourDefault, opponent: crane, goal: 0.65, next: 0.60,
			why: "The whole file carries the installer as well, deflated beside the payload so that any tar can take it out; the opponent carries none.",
		},
		{part: partBuild, quantity: wall, ours: ourDefault, opponent: crane},
		{part: partBuild, quantity: cpu, ours: ourDefault, opponent: crane},
		{part: partBuild, quantity: content, ours: ourDefault, opponent: skopeo},
		{
			part: partBuild, quantity: wall, ours: ourDefault, opponent: skopeo, next: 2.0,
			why: "The encoder has one thread: jobs of libzstd's that run side by side would each have tables of their own, which see only a part of the window, or need more memory. " + encoder,
		},
		{part: partBuild, quantity: cpu, ours: ourDefault, opponent: skopeo},
		{part: partBuild, quantity: memory, ours: ourDefault, next: 400, why: "The encoder holds its window and its match tables; nothing else grows with the content."},
		{part: partBuild, quantity: content, ours: ourFast, opponent: crane},
		{
			part: partBuild, quantity: content, ours: ourFast, opponent: skopeo, next: 1.0,
			why: "The opponent's match finder is a step more thorough; ours makes up for it with a larger table and shorter long-distance matches. " + encoder,
		},
		{
			part: partBuild, quantity: wall, ours: ourFast, opponent: skopeo, next: 0.60,
			why: "Both cores are at work for three quarters of the time: verifying (two hashes per layer, the published checksums of the programs), gunzip, and the cache " +
				"that makes a build go on where it was killed share them with the encoder.",
		},
		{part: partBuild, quantity: memory, ours: ourFast, next: 400, why: "See the default compression."},
		{
			part: partBuild, quantity: memory, ours: ourMany, opponent: ourFast, next: 1.1,
			why: "Something is kept for every image beside its documents.",
		},
		{part: partBuild, quantity: content, ours: ourBest, opponent: crane, next: 0.55, why: encoder},
		{part: partBuild, quantity: size, ours: ourBest, opponent: crane, next: 0.60, why: "As with the default compression, the installer is in it."},
		{part: partBuild, quantity: wall, ours: ourBest, opponent: skopeo},
		{part: partBuild, quantity: memory, ours: ourBest, next: 400, why: "See the default compression."},
		{
			part: partBuild, quantity: content, ours: ourDelta, opponent: ourDefault, next: 0.35,
			why: "A linker moves every address behind a changed function, so that a patched program is new in many small places.",
		},
		{
			part: partBuild, quantity: size, ours: ourDelta, opponent: ourDefault, next: 0.35,
			why: "The installer travels in a delta too, whole: it is what applies the delta, and has to run before the base is at hand.",
		},
		{part: partBuild, quantity: wall, ours: ourDelta, opponent: ourDefault},
		{part: partBuild, quantity: memory, ours: ourDelta, next: 400, why: "Finding a patch takes both programs and a table of the old one in memory, beside what the encoder and the reader of the base hold (docs/adr/0006-deltas-are-patched-like-bsdiff.md)."},

		{
			part: partImport, quantity: wall, ours: ourLoad, opponent: ctrImport, goal: 0.45, next: 0.30,
			why: "What is left is one pass of zstd over programs and layers (a stream has no short cut to the layers), one of sha256 over the layers, and writing them. " +
				"A second sha256 was taken away and the disk writes while the next layers are decoded: together a fifth of the time.",
		},
		{part: partImport, quantity: cpu, ours: ourLoad, opponent: ctrImport},
		{part: partImport, quantity: memory, ours: ourLoad},
		{part: partImport, quantity: wall, ours: ourLoadAgain, opponent: ctrAgain},
		{
			part: partImport, quantity: wall, ours: ourLoadAgain, next: 0.2,
			why: "Starting the program, reading the contract and asking the daemon for every image, snapshot and blob takes this long.",
		},

		{
			part: partInit, quantity: wall, ours: ourInit, opponent: kubeadmInit, goal: 1.2,
			why: "Ours also unpacks the programs from the bundle and applies the extra manifests in this time; on kubeadm's host the programs lie there already.",
		},
		{
			part: partInit, quantity: wall, ours: ourReady, opponent: kubeadmReady, next: 0.60,
			why: "Seven seconds are the controller manager's, whoever starts it: it takes its lease two seconds after the API server serves, and then makes its controllers' " +
				"accounts one by one within its own limit of requests; the first pod of a DaemonSet comes after that. Three are the API server's start, three the network plugin's. " +
				"Import and programs take three of ours. Its flags are kubeadm's, and stay so.",
		},

		{
			part: partUpgrade, quantity: wall, ours: ourUpgrade, opponent: kubeadmUpgrade, goal: 0.8,
			why: "Ours also unpacks the programs, saves etcd, brings the kubelet to the new version and waits for the node; on kubeadm's host that is left to packages.",
		},
		{part: partUpgrade, quantity: wall, ours: ourUpgrade, opponent: kubeadmWhole},
		{part: partUpgrade, quantity: away, ours: ourUpgrade, goal: 15, why: "The API server starts twice: with etcd, and when the new kubelet makes its static pods anew."},
		{part: partUpgrade, quantity: away, ours: ourUpgrade, opponent: kubeadmWhole},
		{part: partUpgrade, quantity: back, ours: ourFailed, goal: 60, why: "A component that ends again and again is given up only after it was tried anew, and then everything goes back."},
		{part: partUpgrade, quantity: wall, ours: ourFailed},

		{
			part: partSnapshot, quantity: wall, ours: ourSnapshot, opponent: etcdByHand, goal: 1.2,
			why: "Ours checks the file before anything stops, and waits for all four static pods to end.",
		},
		{part: partSnapshot, quantity: wall, ours: ourSave, opponent: etcdctlSave},
		{part: partSnapshot, quantity: wall, ours: ourRestore, opponent: etcdutlRestore},

		{part: partReset, quantity: wall, ours: ourReset, goal: 10, why: "Every pod is given its time to end."},
		{part: partReset, quantity: wall, ours: ourReset, opponent: kubeadmReset},

		{part: partHA, quantity: gap, ours: ourPowerCut, goal: 20, why: "keepalived has to miss its neighbour, and etcd to elect."},
		{part: partHA, quantity: lost, ours: ourPowerCut, goal: none, why: "This must not be."},
		{part: partHA, quantity: refused, ours: ourUpgradeOfThree, goal: none, why: "A connection was cut that was not to be."},
		{part: partHA, quantity: gap, ours: ourUpgradeOfThree},
	}
}
