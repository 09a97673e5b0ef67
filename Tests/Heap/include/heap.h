// What the heap of a process holds. Swift's module of glibc leaves <malloc.h> out.
#pragma once
#include <stddef.h>

/// Bytes that malloc has given away, in all arenas, and that were not freed.
size_t heap_bytes(void);
