package image

// Limits are what an image may at most be. Zero fields are the defaults.
type Limits struct {
	// Manifest limits a manifest, an index or a configuration, in bytes: 4 MiB.
	Manifest int64
	// Layers limits the layers of an image: 256.
	Layers int
	// Blobs limits the bytes of all layers as they are stored: 8 GiB.
	Blobs int64
	// Unpacked limits the bytes of all layers decompressed: 16 GiB.
	Unpacked int64
	// Entries limits the files, folders and links in all layers: 1,000,000.
	Entries int
	// Module limits the module to run, in bytes: 1 GiB.
	Module int64
}

// The longest names in bytes, and the deepest folder, that an image may have.
const (
	maxPath  = 4096
	maxName  = 255
	maxDepth = 256
)

func (l Limits) withDefaults() Limits {
	orDefault(&l.Manifest, 4<<20)
	orDefault(&l.Layers, 256)
	orDefault(&l.Blobs, 8<<30)
	orDefault(&l.Unpacked, 16<<30)
	orDefault(&l.Entries, 1_000_000)
	orDefault(&l.Module, 1<<30)
	return l
}

func orDefault[T int | int64](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}
