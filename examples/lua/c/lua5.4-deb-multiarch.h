/* Debian's luaconf.h asks for this: the folder of native modules, of which a
   Wasm guest has none. */
#define DEB_HOST_MULTIARCH "wasm32-wasip1"
