package wasi

// ioctlWaiting asks how many bytes can be read: FIONREAD.
const ioctlWaiting = 0x4004667f
