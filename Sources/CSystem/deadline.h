#pragma once

#include <stdint.h>
#include <sys/types.h>

// MARK: A command that is ended in time although we are stopped; see deadline.c

/// A signal to the attendant that has it look at the deadline.
#define CSYSTEM_GUARD_SIGNAL (SIGRTMIN + 8)

/// What the attendant knows of it.
struct csystem_guard {
    int32_t apart;
    int32_t timer;    // the kernel's number; -1 for none
    int64_t killing;  // when the command gets KILL; INT64_MAX before it got TERM
};

/// Makes the memory in which the deadline is, which the attendant that is forked next shares.
int64_t csystem_share_deadline(int64_t end);
/// The process that is told of an earlier deadline; 0 where there is none.
void csystem_set_guard(pid_t attendant);
/// Where the number of the command stands as soon as there is one, and 0 when there is none.
int32_t *csystem_guarded_command(void);

/// Gets the attendant a timer, and looks at the deadline for the first time; every signal is blocked there.
struct csystem_guard csystem_begin_guard(int32_t apart);
/// Ends the command where it is time, and has itself called again.
void csystem_look_at_deadline(struct csystem_guard *guard);
