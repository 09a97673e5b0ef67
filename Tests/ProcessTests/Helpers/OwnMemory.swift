/// A function of scripts: how much memory of its own a process has used at most, in KiB.
///
/// Without the pages of the program and its libraries: a debug build has 15 MB of them, and how many the kernel
/// maps at once differs from machine to machine.
let ownMemory =
    #"own_memory() { awk '/^VmHWM/ { most = $2 } /^RssFile/ { files = $2 } END { print most - files }' "/proc/$1/status"; }"#

/// The bound of it for what goes through a process without being held, in KiB.
let ownMemoryBound = 4 << 10
