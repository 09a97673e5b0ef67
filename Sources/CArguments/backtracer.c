// Before main the Swift runtime looks for a program that would print a backtrace should this one crash. In a
// static executable it begins at its own path, which it has from /proc alone, and ends the process where there is
// no /proc. A command that is installed alone has no such program beside it: it is said to be missing, without a
// look at the file system.
//
// The runtime's own name: include/swift/Runtime/Paths.h. Replaced like the functions for the arguments, so that
// the runtime's own are left out of a static program; should a later runtime have more of them there, the linker
// says that this one is defined twice. Hidden: a program that is linked dynamically keeps the runtime's own.

__attribute__((visibility("hidden"))) char *swift_copyAuxiliaryExecutablePath(const char *name) {
    (void)name;
    return 0;
}
