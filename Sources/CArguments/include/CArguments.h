// The command line as the kernel passed it, for the command alone.
//
// In a static executable the Swift runtime looks for the arguments through /proc/self/maps, before
// main: that takes 4 % of a short command's life, and ends the process where there is no /proc. The
// two functions of the runtime that do so are replaced here, which leaves its own out of the program.

#ifndef CARGUMENTS_H
#define CARGUMENTS_H

#include <stdint.h>

/// How many arguments there are, the program's name included.
int32_t carguments_count(void);

/// An argument, ended by NUL.
const char *carguments_at(int32_t index);

#endif
