// `--die-with-parent`: TERM for this process when the one that started it ends.
//
// Not the kernel's PR_SET_PDEATHSIG, which is sent when a thread ends: a program that starts us on one of its
// threads, and ends that thread, has not ended. It is used where there is no descriptor of the parent.

#include "CSystem.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <unistd.h>

static _Atomic int32_t has_ended;

int32_t csystem_parent_has_ended(void) {
    return atomic_load(&has_ended) || getppid() != csystem_parent_at_start();
}

static void tell(void) {
    atomic_store(&has_ended, 1);
    kill(getpid(), SIGTERM);
}

static void *watch(void *argument) {
    struct pollfd request = {.fd = (int)(intptr_t)argument, .events = POLLIN};
    while (poll(&request, 1, -1) < 0 && errno == EINTR) {}
    tell();
    return NULL;
}

int64_t csystem_end_with_parent_in_place(void) {
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) return -errno;
    if (getppid() != csystem_parent_at_start()) tell();
    return 0;
}

int64_t csystem_end_with_parent(void) {
    pid_t parent = csystem_parent_at_start();
    csystem_obey_termination();
    int64_t file = parent == 0 ? -ESRCH : csystem_pidfd_open(parent);
    if (file < 0) {
        // Outside this PID namespace, gone, or forbidden by a filter. A signal that comes so is no thread's.
        return csystem_end_with_parent_in_place();
    }
    // Its number may have become another's before it was opened; then it is no longer our parent.
    if (getppid() != parent) {
        close((int)file);
        tell();
        return 0;
    }
    return csystem_start_thread(watch, (void *)(intptr_t)file);
}
