#include "CArguments.h"

static int count;
static char **arguments;

// glibc passes the arguments of main to every constructor.
__attribute__((constructor)) static void keep(int argc, char **argv) {
    count = argc;
    arguments = argv;
}

int32_t carguments_count(void) { return count; }

const char *carguments_at(int32_t index) { return arguments[index]; }

// The Swift runtime's own names: stdlib/public/stubs/CommandLine.cpp. Should a later runtime have more
// of them there, the linker says that they are defined twice.

char **_swift_stdlib_getUnsafeArgvArgc(int *result) {
    *result = count;
    return arguments;
}

void _swift_stdlib_overrideUnsafeArgvArgc(char **argv, int argc) { keep(argc, argv); }
