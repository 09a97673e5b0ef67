// Which file system a directory is on, as the kernel's own mount knows it. statfs(2) is answered by the file
// system: one that passes it on, such as 9p, tells what lies behind it on another machine.

#include "CSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// From include/uapi/linux/stat.h and mount.h, which glibc's headers need not know.
#define MOUNT_ID 0x1000u         // Linux 5.8
#define MOUNT_ID_UNIQUE 0x4000u  // Linux 6.8, as statmount
#define STATMOUNT 457
#define STATMOUNT_TYPE 0x20u

struct mount_request {
    uint32_t size, spare;
    uint64_t id, wanted;
};

struct mount_answer {
    uint32_t size, options;
    uint64_t mask;
    uint32_t device[2];
    uint64_t magic;
    uint32_t flags, type;  // `type` is where in `text` it begins
    char others[472];
    char text[512];
};
_Static_assert(offsetof(struct mount_answer, text) == 512, "as the kernel has it");

static void copy(char *target, size_t size, const char *text) {
    strncpy(target, text, size - 1);
    target[size - 1] = 0;
}

// Linux 6.8: one call, whatever the number of mounts.
static int ask_kernel(uint64_t id, struct csystem_mount *mount) {
    struct mount_request request = {.size = sizeof request, .id = id, .wanted = STATMOUNT_TYPE};
    struct mount_answer answer = {0};
    if (syscall(STATMOUNT, &request, &answer, sizeof answer, 0) != 0) return 0;
    if ((answer.mask & STATMOUNT_TYPE) == 0 || answer.type >= sizeof answer.text) return 0;
    answer.text[sizeof answer.text - 1] = 0;
    copy(mount->type, sizeof mount->type, answer.text + answer.type);
    return 1;
}

// ID PARENT MAJOR:MINOR ROOT POINT OPTIONS FIELDS... - TYPE SOURCE SUPER-OPTIONS, with blanks as \040.
static int parse_line(char *line, uint64_t id, struct csystem_mount *mount) {
    if (strtoull(line, NULL, 10) != id) return 0;
    char *rest = strstr(line, " - "), *state;
    if (rest == NULL) return 0;
    char *type = strtok_r(rest + 3, " \n", &state);
    strtok_r(NULL, " \n", &state);
    char *options = strtok_r(NULL, " \n", &state);
    if (type == NULL) return 0;
    copy(mount->type, sizeof mount->type, type);
    copy(mount->options, sizeof mount->options, options == NULL ? "" : options);
    return 1;
}

static int ask_table(uint64_t id, struct csystem_mount *mount) {
    FILE *table = fopen("/proc/self/mountinfo", "re");
    if (table == NULL) return 0;
    char *line = NULL;
    size_t size = 0;
    int found = 0;
    while (!found && getline(&line, &size, table) > 0) found = parse_line(line, id, mount);
    free(line);
    fclose(table);
    return found;
}

// Not an error where the kernel does not know statx(2), or a filter that does not forbids it.
static int64_t untold(void) { return errno == ENOSYS || errno == EPERM ? 0 : -errno; }

int64_t csystem_mount_id(int32_t file, uint64_t *id) {
    struct statx status = {0};
    *id = 0;
    if (statx(file, "", AT_EMPTY_PATH, MOUNT_ID, &status) != 0) return untold();
    if ((status.stx_mask & MOUNT_ID) != 0) memcpy(id, (char *)&status + 0x90, sizeof *id);
    return 0;
}

int64_t csystem_mount(int32_t file, int32_t with_options, struct csystem_mount *mount) {
    *mount = (struct csystem_mount){0};
    struct statx status = {0};
    // A kernel that does not know one of the bits leaves it out of the answer.
    if (!with_options) {
        if (statx(file, "", AT_EMPTY_PATH, MOUNT_ID_UNIQUE, &status) != 0) return untold();
        mount->has_device = status.stx_dev_major != 0;
        if (mount->has_device) return 0;
        // The field behind those that older headers know: `stx_mnt_id`.
        uint64_t id;
        memcpy(&id, (char *)&status + 0x90, sizeof id);
        if ((status.stx_mask & MOUNT_ID_UNIQUE) != 0 && ask_kernel(id, mount)) return 0;
    }
    uint64_t id;
    int64_t result = csystem_mount_id(file, &id);
    if (id != 0) ask_table(id, mount);
    return result;
}
