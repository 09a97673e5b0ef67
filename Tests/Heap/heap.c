#include "heap.h"

#include <malloc.h>

size_t heap_bytes(void) {
    struct mallinfo2 now = mallinfo2();
    return now.uordblks + now.hblkhd;
}
