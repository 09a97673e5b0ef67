#include "CFloor.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static int32_t set(int32_t file, short type) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = 77, .l_len = 1};
    return fcntl(file, F_OFD_SETLK, &lock);
}

int32_t cfloor_append(
    int32_t locks, int32_t segment, int64_t end, const void *record, size_t count, int32_t cell) {
    char bytes[608];
    struct stat status;
    struct rlimit limit;
    if (set(locks, F_WRLCK) != 0) return -1;
    if (fstat(locks, &status) != 0 || status.st_nlink == 0) return -1;
    if (fstat(segment, &status) != 0 || status.st_nlink == 0) return -1;
    if (pread(segment, bytes, sizeof bytes, 512) != (ssize_t)sizeof bytes) return -1;
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0) return -1;
    if (pwrite(segment, record, count, end) != (ssize_t)count) return -1;
    if (pwrite(segment, bytes, 96, 512 + 512 * cell) != 96) return -1;
    return set(locks, F_UNLCK);
}
