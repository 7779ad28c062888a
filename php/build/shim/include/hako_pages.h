// Memory in pages of 64 KiB, for what needs it aligned, large or growing in
// place: the chunks of PHP's allocator and the memory of its opcache. malloc
// takes its memory from the same pages.
#ifndef HAKO_PAGES_H
#define HAKO_PAGES_H
#include <stddef.h>

#define HAKO_PAGE 65536

// hako_pages returns pages of undefined content, or NULL. size and align are
// multiples of HAKO_PAGE, align a power of two.
void *hako_pages(size_t size, size_t align);

// hako_pages_free gives back all or a part of what hako_pages has given.
void hako_pages_free(void *, size_t size);

// hako_pages_extend makes a block longer where it is and tells whether it could.
int hako_pages_extend(void *, size_t old_size, size_t new_size);

#endif
