#include "CSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RESULT(call)                           \
    ({                                         \
        int64_t result_ = (int64_t)(call);     \
        result_ < 0 ? -(int64_t)errno : result_; \
    })

const int32_t csystem_lookup_flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;

int64_t csystem_open(int32_t directory, const char *name, int32_t flags, uint32_t mode) {
    return RESULT(openat(directory, name, flags, (mode_t)mode));
}

// Name by name, each without following a link: for kernels before 5.6, and where a seccomp filter
// forbids openat2.
static int64_t open_name_by_name(int32_t directory, const char *path, int32_t flags, uint32_t mode) {
    int32_t parent = directory;
    for (;;) {
        const char *slash = strchr(path, '/');
        char name[256];
        size_t count = slash ? (size_t)(slash - path) : strlen(path);
        if (count >= sizeof name) return -ENAMETOOLONG;
        memcpy(name, path, count);
        name[count] = 0;
        int32_t how = slash ? O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC : flags | O_NOFOLLOW;
        int64_t file = csystem_open(parent, name, how, mode);
        if (parent != directory) close(parent);
        if (!slash || file < 0) return file;
        parent = (int32_t)file;
        path = slash + 1;
    }
}

int64_t csystem_open_beneath(int32_t directory, const char *path, int32_t flags, uint32_t mode) {
    static _Atomic int is_missing;
    if (atomic_load_explicit(&is_missing, memory_order_relaxed))
        return open_name_by_name(directory, path, flags, mode);
    struct open_how how = {
        .flags = (uint64_t)(uint32_t)flags, .mode = flags & O_CREAT ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    int64_t file = RESULT(syscall(SYS_openat2, directory, path, &how, sizeof how));
    if (file != -ENOSYS && file != -EPERM) return file;
    if (file == -ENOSYS) atomic_store_explicit(&is_missing, 1, memory_order_relaxed);
    return open_name_by_name(directory, path, flags, mode);
}

int64_t csystem_close(int32_t file) { return RESULT(close(file)); }

int64_t csystem_read(int32_t file, void *bytes, size_t count) {
    return RESULT(read(file, bytes, count));
}

int64_t csystem_write(int32_t file, const void *bytes, size_t count) {
    return RESULT(write(file, bytes, count));
}

int64_t csystem_write_now(int32_t file, const void *bytes, size_t count) {
    // A socket that has some room makes write wait for more; a pipe does not (see the header).
    int64_t result = RESULT(send(file, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL));
    return result == -ENOTSOCK ? csystem_write(file, bytes, count) : result;
}

int64_t csystem_pread(int32_t file, void *bytes, size_t count, int64_t offset) {
    return RESULT(pread(file, bytes, count, offset));
}

int64_t csystem_read_through(int32_t file) {
    char byte;
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    return csystem_pread(file, &byte, 1, 0);
}

int64_t csystem_pwrite(int32_t file, const void *bytes, size_t count, int64_t offset) {
    return RESULT(pwrite(file, bytes, count, offset));
}

int64_t csystem_truncate(int32_t file, int64_t size) { return RESULT(ftruncate(file, size)); }

int64_t csystem_file_size_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur > INT64_MAX) return INT64_MAX;
    return (int64_t)limit.rlim_cur;
}

int64_t csystem_sync(int32_t file) { return RESULT(fsync(file)); }

int64_t csystem_sync_data(int32_t file) { return RESULT(fdatasync(file)); }

// Some file systems have times beyond the year 2262.
static int64_t nanoseconds(struct timespec time) {
    int64_t result;
    if (__builtin_mul_overflow((int64_t)time.tv_sec, (int64_t)1000000000, &result)
        || __builtin_add_overflow(result, (int64_t)time.tv_nsec, &result))
        return time.tv_sec < 0 ? INT64_MIN : INT64_MAX;
    return result;
}

static int64_t status_result(int64_t result, const struct stat *from, struct csystem_status *to) {
    if (result < 0) return result;
    to->device = (uint64_t)from->st_dev;
    to->inode = (uint64_t)from->st_ino;
    to->size = (uint64_t)from->st_size;
    to->allocated = (uint64_t)from->st_blocks * 512;
    to->modified = nanoseconds(from->st_mtim);
    to->accessed = nanoseconds(from->st_atim);
    to->changed = nanoseconds(from->st_ctim);
    to->mode = from->st_mode;
    to->uid = from->st_uid;
    to->gid = from->st_gid;
    to->links = (uint32_t)from->st_nlink;
    return 0;
}

int64_t csystem_status(int32_t file, struct csystem_status *result) {
    struct stat status;
    return status_result(RESULT(fstat(file, &status)), &status, result);
}

int64_t csystem_status_at(int32_t directory, const char *name, struct csystem_status *result) {
    struct stat status;
    return status_result(
        RESULT(fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW)), &status, result);
}

int64_t csystem_owns_directory(int32_t directory) {
    // Only owners may open without changing the time of access (and processes with CAP_FOWNER, in a user
    // namespace that has a number for the owner).
    int64_t file = RESULT(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOATIME));
    if (file == -EPERM) return 0;
    if (file < 0) return file;
    close((int)file);
    return 1;
}

int64_t csystem_status_of_path(const char *path, struct csystem_status *result) {
    struct stat status;
    return status_result(RESULT(stat(path, &status)), &status, result);
}

int64_t csystem_birth_time(int32_t file, int64_t *time) {
    struct statx status;
    int64_t result = RESULT(statx(file, "", AT_EMPTY_PATH, STATX_BTIME, &status));
    *time = result == 0 && (status.stx_mask & STATX_BTIME)
                ? (int64_t)status.stx_btime.tv_sec * 1000000000 + status.stx_btime.tv_nsec
                : 0;
    return result;
}

const uint32_t csystem_folds_case = FS_CASEFOLD_FL;

int64_t csystem_inode_flags(int32_t file, uint32_t *flags) {
    // Declared with a long, and written as an int by every file system (ioctl_iflags(2)).
    int value = 0;
    int64_t result = RESULT(ioctl(file, FS_IOC_GETFLAGS, &value));
    *flags = (uint32_t)value;
    return result;
}

int64_t csystem_write_in_place(int32_t file) {
    int value = 0;
    int64_t result = RESULT(ioctl(file, FS_IOC_GETFLAGS, &value));
    if (result < 0 || (value & FS_NOCOW_FL) != 0) return result;
    value |= FS_NOCOW_FL;
    return RESULT(ioctl(file, FS_IOC_SETFLAGS, &value));
}

int64_t csystem_writes_in_place(int32_t file) {
    uint32_t flags = 0;
    int64_t result = csystem_inode_flags(file, &flags);
    return result < 0 ? result : (flags & FS_NOCOW_FL) != 0;
}

int64_t csystem_share(int32_t file) { return RESULT(flock(file, LOCK_SH | LOCK_NB)); }

int64_t csystem_file_system(int32_t file, uint64_t *magic, int32_t *is_read_only) {
    struct statfs status;
    int64_t result = RESULT(fstatfs(file, &status));
    if (result == 0) {
        *magic = (uint32_t)status.f_type;
        *is_read_only = (status.f_flags & ST_RDONLY) != 0;
    }
    return result;
}

int64_t csystem_change_mode(int32_t file, uint32_t mode) { return RESULT(fchmod(file, mode)); }

int64_t csystem_touch(int32_t directory, const char *name) {
    return RESULT(utimensat(directory, name, NULL, AT_SYMLINK_NOFOLLOW));
}

int64_t csystem_renew(int32_t file) { return RESULT(futimens(file, NULL)); }

int64_t csystem_make_directory(int32_t directory, const char *name, uint32_t mode) {
    return RESULT(mkdirat(directory, name, (mode_t)mode));
}

int64_t csystem_link(int32_t directory, const char *from, const char *to) {
    return RESULT(linkat(directory, from, directory, to, 0));
}

int64_t csystem_rename(int32_t from_directory, const char *from, int32_t directory, const char *to) {
    return RESULT(renameat(from_directory, from, directory, to));
}

// Not glibc's renameat2, which kernels before 3.15 and filters may not know: EINVAL stands for all of them.
static int64_t rename_with(
    int32_t from_directory, const char *from, int32_t directory, const char *to, unsigned flags) {
    int64_t result = RESULT(syscall(SYS_renameat2, from_directory, from, directory, to, flags));
    return result == -ENOSYS || result == -EPERM || result == -EOPNOTSUPP ? -EINVAL : result;
}

int64_t csystem_rename_new(
    int32_t from_directory, const char *from, int32_t directory, const char *to) {
    return rename_with(from_directory, from, directory, to, RENAME_NOREPLACE);
}

int64_t csystem_rename_exchange(int32_t directory, const char *one, const char *other) {
    return rename_with(directory, one, directory, other, RENAME_EXCHANGE);
}

int64_t csystem_unlink(int32_t directory, const char *name) {
    return RESULT(unlinkat(directory, name, 0));
}

int64_t csystem_remove_directory(int32_t directory, const char *name) {
    return RESULT(unlinkat(directory, name, AT_REMOVEDIR));
}

int64_t csystem_read_directory(int32_t directory, void *entries, size_t count) {
    return RESULT(syscall(SYS_getdents64, directory, entries, count));
}

int64_t csystem_read_link(const char *path, char *target, size_t count) {
    return RESULT(readlink(path, target, count));
}

int64_t csystem_working_directory(char *path, size_t count) {
    // Not glibc's: where the kernel cannot name the directory it walks upwards, and may find another.
    int64_t length = RESULT(syscall(SYS_getcwd, path, count));
    if (length < 0) return length;
    struct stat here, there;
    // "(unreachable)/…" where it lies outside our root, or its file system was detached. What is mounted
    // over a part of the way makes the path lead elsewhere.
    if (path[0] != '/' || stat(".", &here) != 0 || stat(path, &there) != 0) return -ENOENT;
    if (here.st_dev != there.st_dev || here.st_ino != there.st_ino) return -ENOENT;
    return length - 1;
}

const void *csystem_map(int32_t file, size_t count) {
    void *bytes = mmap(NULL, count, PROT_READ, MAP_PRIVATE, file, 0);
    return bytes == MAP_FAILED ? NULL : bytes;
}

void csystem_unmap(const void *bytes, size_t count) { munmap((void *)bytes, count); }
