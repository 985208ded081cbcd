package imagestore

import "context"

// Checksum is a checksum file that is published beside a download.
type Checksum struct {
	Kind string // sha512, sha256 or sha1
	URL  string // upstream address; Options.BinaryMirrors apply to it as well
}

// DownloadRequest asks for one file that is not an image.
type DownloadRequest struct {
	URL string // upstream address; Options.BinaryMirrors apply to it
	// Checksums are the published checksum files, strongest first. The first that exists decides.
	Checksums []Checksum
}

// File is a downloaded and verified file of the cache.
type File struct {
	Path     string // in the cache: read only, named by its digest
	SHA256   string // sha256:<hex>
	Size     int64  // bytes
	Source   string // upstream address, as requested
	Fetched  string // address that it was fetched from, after mirrors
	Checksum string // published checksum that it was checked against: "sha512:<hex>"
	Cached   bool   // it was in the cache already
}

// Download fetches a file through the cache and checks it against its strongest published checksum.
func (s *Store) Download(ctx context.Context, r DownloadRequest) (*File, error) { panic("stub") }
