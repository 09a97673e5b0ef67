// Signals that came before a command was there: it has not been sent those that went to the whole group.

#include <signal.h>
#include <stdint.h>

// What the command's process saw when it was about to execute.
struct csystem_early {
    sigset_t got;     // what it had been sent itself
    sigset_t before;  // what we had been sent before it looked at `got`; all where that is not known
};

// For the command's process, in which everything is blocked: fills `early`.
//
// What its parent has and it has not came before it was there: whatever goes to a group goes, from when
// clone(2) has begun, to both. First its parent's: what comes to both meanwhile is then in `got`.
void csystem_look_for_early_signals(int status, struct csystem_early *early);

// Puts the signals that can be read apart: `csystem_next_signal` tells them first. Leaves out those that the command
// has got.
void csystem_set_early_signals_apart(int32_t file, const struct csystem_early *early);
