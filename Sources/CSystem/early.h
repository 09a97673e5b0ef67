#include <signal.h>
#include <stdint.h>

// Puts the signals that can be read apart, as early: `csystem_next_signal` tells them first. Leaves out those that
// the command has got.
void csystem_set_early_signals_apart(int32_t file, const sigset_t *got);
