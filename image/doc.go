// Package image keeps OCI images that hold Wasm modules: it pulls, builds,
// unpacks, saves and pushes them.
//
// # Concepts
//
// A [Store] is a directory, an OCI image layout, that any number of processes
// may use at once. It holds images under names. A [Reference] is such a name,
// written as Docker does: shop, ghcr.io/acme/shop:1, shop@sha256:... An
// [Image] is one that was opened: its [Config], its root file system and its
// module.
//
// # Life cycle
//
//	store := image.OpenStore(dir, image.Options{})
//	_, err := store.Pull(ctx, ref, image.PullOptions{})  // or Build, Load
//	img, err := store.Open(ctx, ref)
//	defer img.Close()
//	root, err := img.Root(ctx)      // unpacked once, then kept
//	wasm, err := img.Module(ctx)    // the bytes of the entrypoint's module
//
// Opening never goes to a registry. What is open stays readable until Close,
// also when it is removed or replaced meanwhile, by whatever process.
//
// # Trust
//
// Everything that comes from outside (manifests, layers, archives, build
// files) is taken to be hostile: bytes are checked against their digests,
// names cannot leave the image, sizes are limited by [Limits]. Symbolic links
// in an unpacked root keep their text, except that absolute ones are made
// relative; who reads a root must confine itself to it, as [os.Root] does.
package image
