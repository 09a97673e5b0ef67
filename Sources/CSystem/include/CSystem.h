// What glibc hides from Swift: calls that are variadic, GNU-only or missing from its headers.
//
// Every call returns a negative errno on failure, as the kernel does, and otherwise what the kernel
// returns. None of them retries; EINTR is the caller's (one loop, in SystemCalls/Errno.swift).
// `_GNU_SOURCE` is defined for the .c files alone: in a header that Swift imports it would change
// what other imports see.

#ifndef CSYSTEM_H
#define CSYSTEM_H

#include <stddef.h>
#include <stdint.h>

#include "SharedMemory.h"

#if !defined(__linux__)
#error "flock-cache needs Linux: open-file-description locks, pidfds and futexes have no equal elsewhere"
#endif

// MARK: Files

extern const int32_t csystem_lookup_flags;  // O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK

struct csystem_status {
    uint64_t device, inode, size;
    uint64_t allocated;  // bytes
    // Nanoseconds since 1970, the farthest where that is beyond it.
    int64_t modified, accessed, changed;
    uint32_t mode, uid, gid, links;
};

int64_t csystem_open(int32_t directory, const char *name, int32_t flags, uint32_t mode);
/// The same for a path of several names, none of which may be a symbolic link or lead outside.
int64_t csystem_open_beneath(int32_t directory, const char *path, int32_t flags, uint32_t mode);
int64_t csystem_close(int32_t file);
int64_t csystem_read(int32_t file, void *bytes, size_t count);
int64_t csystem_write(int32_t file, const void *bytes, size_t count);
/// Writes as much as there is room for, or fails with EAGAIN: on a socket in every case, on a pipe where poll(2)
/// has said that there is room, and up to PIPE_BUF bytes.
int64_t csystem_write_now(int32_t file, const void *bytes, size_t count);
int64_t csystem_pread(int32_t file, void *bytes, size_t count, int64_t offset);
int64_t csystem_pwrite(int32_t file, const void *bytes, size_t count, int64_t offset);
int64_t csystem_truncate(int32_t file, int64_t size);
/// The limit on the size of files (`RLIMIT_FSIZE`); INT64_MAX where there is none.
int64_t csystem_file_size_limit(void);
int64_t csystem_sync(int32_t file);
/// The same for the bytes alone and what is needed to read them again.
int64_t csystem_sync_data(int32_t file);
int64_t csystem_status(int32_t file, struct csystem_status *result);
int64_t csystem_status_at(int32_t directory, const char *name, struct csystem_status *result);
/// 1 where this process's user owns a directory, as the kernel judges it: by the user, and not by a number that
/// several users have in a user namespace. 0 where not.
int64_t csystem_owns_directory(int32_t directory);
/// Of a path as the user gave it, following links.
int64_t csystem_status_of_path(const char *path, struct csystem_status *result);
/// When a file was made, in nanoseconds since 1970; 0 where the file system does not record it.
int64_t csystem_birth_time(int32_t file, int64_t *time);
/// The flags of `chattr(1)`; -ENOTTY and -EOPNOTSUPP where the file system has none.
int64_t csystem_inode_flags(int32_t file, uint32_t *flags);
/// Has what is made in a directory from now on, or is written to an empty file, written in place on btrfs
/// (`chattr +C`).
int64_t csystem_write_in_place(int32_t file);
/// 1 where that is set.
int64_t csystem_writes_in_place(int32_t file);
extern const uint32_t csystem_folds_case;  // FS_CASEFOLD_FL
int64_t csystem_file_system(int32_t file, uint64_t *magic, int32_t *is_read_only);
/// What the kernel's table of mounts says of a file; empty where it is not to be had.
struct csystem_mount {
    char type[64];
    char options[1024];  // the file system's own; only when asked for
    int32_t has_device;  // a disk of this machine: then nothing else is told, unless options are asked for
};
int64_t csystem_mount(int32_t file, int32_t with_options, struct csystem_mount *mount);
/// The number of the mount that an open file is of, as /proc/self/mountinfo has it; 0 where the kernel does not tell.
int64_t csystem_mount_id(int32_t file, uint64_t *id);
/// Reads the first byte of a file from where it is kept, and not from this machine's memory.
int64_t csystem_read_through(int32_t file);
/// 1 where a child finds the first byte of a file locked, 0 where it could lock it as well.
int64_t csystem_lock_excludes(int32_t directory, const char *name);
/// What is free for this user; UINT64_MAX where inodes are not counted.
int64_t csystem_space(int32_t file, uint64_t *bytes, uint64_t *inodes);
int64_t csystem_change_mode(int32_t file, uint32_t mode);
/// Sets the modification time to now.
int64_t csystem_touch(int32_t directory, const char *name);
/// Sets the times of access and modification of an open file to now.
int64_t csystem_renew(int32_t file);
int64_t csystem_make_directory(int32_t directory, const char *name, uint32_t mode);
int64_t csystem_link(int32_t directory, const char *from, const char *to);
int64_t csystem_rename(int32_t from_directory, const char *from, int32_t directory, const char *to);
/// Fails with EEXIST where the new name is taken, and with EINVAL where the file system cannot tell.
int64_t csystem_rename_new(int32_t from_directory, const char *from, int32_t directory, const char *to);
/// Lets two names change places in one step; fails with EINVAL where that is not known.
int64_t csystem_rename_exchange(int32_t directory, const char *one, const char *other);
int64_t csystem_unlink(int32_t directory, const char *name);
int64_t csystem_remove_directory(int32_t directory, const char *name);
int64_t csystem_read_directory(int32_t directory, void *entries, size_t count);
int64_t csystem_read_link(const char *path, char *target, size_t count);
/// The path of the working directory without a NUL, and its length; -ENOENT where there is none that leads
/// to it.
int64_t csystem_working_directory(char *path, size_t count);
/// A read-only private mapping of a whole file; NULL on failure.
const void *csystem_map(int32_t file, size_t count);
void csystem_unmap(const void *bytes, size_t count);

// MARK: Locks on the open file description, and what a fork does to them

enum { csystem_unlocked = 0, csystem_shared = 1, csystem_exclusive = 2 };

/// Takes, changes or drops a lock on `count` bytes without waiting; -EAGAIN when it is held elsewhere.
int64_t csystem_lock(int32_t file, int32_t mode, int64_t start, int64_t count);
/// The mode of a lock for which an exclusive one on the bytes would be refused to this description;
/// csystem_unlocked for none.
int64_t csystem_lock_of_others(int32_t file, int64_t start, int64_t count);
/// 1 and the first byte of those `count` that a lock of another description covers, in no order of several such
/// locks; 0 for none.
int64_t csystem_first_lock_of_others(int32_t file, int64_t start, int64_t count, int64_t *first);
/// The same with the first byte behind that lock; returns how it is held, 0 where no other has one.
int64_t csystem_find_lock_of_others(
    int32_t file, int64_t start, int64_t count, int64_t *first, int64_t *end);

/// Opens a file that will carry locks. In a child that is forked without exec every such descriptor
/// is closed at once: a shared description would keep a dead parent's locks, and let parent and child
/// into one mutex.
int64_t csystem_open_lock_file(int32_t directory, const char *path, int32_t flags, uint32_t mode);
/// Closes a lock file opened at that fork epoch; in a forked child its number belongs to others.
void csystem_close_lock_file(int32_t file, uint32_t epoch);
/// Takes a shared `flock(2)` without waiting; -EAGAIN when another holds an exclusive one.
int64_t csystem_share(int32_t file);
/// How often this process's ancestry has forked without exec since the program started.
uint32_t csystem_fork_epoch(void);
/// No fork happens between these two. May be nested. Make no call in between that can block: every
/// fork and every opening of a lock file waits.
void csystem_hold_forks(void);
void csystem_release_forks(void);
/// Lets a lock file stay open in the program that this process executes.
int64_t csystem_keep_through_execution(int32_t file);

// MARK: A mutex between threads that can time out

/// 0, or -ETIMEDOUT at the monotonic time `deadline` (ns). The word is 0 while the mutex is free.
int64_t csystem_mutex_lock(uint32_t *word, int64_t deadline);
void csystem_mutex_unlock(uint32_t *word);

// MARK: Processes, time, chance

int64_t csystem_pidfd_open(int32_t process);
/// The inode of a pidfd if the kernel makes it unique (Linux 6.9), else 0.
int64_t csystem_pidfd_inode(int32_t pidfd, uint64_t *inode);
/// 1 if every thread of the process has ended.
int64_t csystem_pidfd_has_exited(int32_t pidfd);
int64_t csystem_signal(int32_t process, int32_t signal);
int32_t csystem_process_id(void);
/// The name of the program, ended by NUL; 0 where another thread than the first asks, whose own name may be another.
int32_t csystem_program_name(char name[16]);
int32_t csystem_parent_process_id(void);
uint32_t csystem_user_id(void);
/// Whether the group is the process's own or one of its supplementary groups.
int64_t csystem_is_in_group(uint32_t group);
/// Soft limit on open descriptors.
uint64_t csystem_descriptor_limit(void);
int64_t csystem_boot_time(void);  // ns, runs through suspend, never steps
int64_t csystem_monotonic_time(void);  // ns, stands still through suspend, never steps
int64_t csystem_wall_time(void);  // ns since 1970
void csystem_sleep(int64_t nanoseconds);
void csystem_yield(void);
/// Whether this process may run on more than one processor, as when it first asked.
int32_t csystem_has_processors(void);
/// Does nothing for so many nanoseconds, without giving the processor up.
void csystem_spin(int64_t nanoseconds);
int64_t csystem_random(void *bytes, size_t count);
const char *csystem_message(int32_t error);

// MARK: Signals

/// Blocks what would end this process, such as TERM, in this thread (1) or restores what was (0).
void csystem_block_termination(int32_t blocked);
/// Whether a signal is one of those that are passed on to a command.
int32_t csystem_is_passed_on(int32_t number);
/// Blocks the signals that are passed on to a command, and returns a descriptor that yields them; also TSTP
/// and CONT where the command has a group of its own.
int64_t csystem_catch_signals(int32_t apart);
/// Lets them do again what they do.
void csystem_release_signals(void);

struct csystem_signal {
    int32_t number, sender;
    int32_t from_kernel;  // as for a terminal; a process did not send it
    int32_t is_early;     // came before there was a command
};

/// The next such signal, 0 for none.
///
/// In process 1 it also reaps the orphans that have ended; the descriptor can then be read.
int64_t csystem_next_signal(int32_t file, struct csystem_signal *signal);
/// Takes the same signal of the same sender out of what has come, and of what comes within so many ns.
void csystem_merge_signal(int32_t file, const struct csystem_signal *signal, int64_t window);
/// Whether a signal is ignored.
int32_t csystem_ignores_signal(int32_t number);
/// Stops this process as TSTP does; 0 where it does not stop, because its group is an orphan or ignores it.
int32_t csystem_stop(void);
/// Ends this process by a signal, without a core file; returns where the kernel does not end it, which is so
/// in process 1 of a PID namespace.
void csystem_end_by_signal(int32_t number);
/// Whether this process's session has a terminal.
int32_t csystem_has_terminal(void);
int32_t csystem_is_session_leader(void);
/// Also of a process that has ended.
int32_t csystem_is_in_our_group(int32_t process);

/// Makes process 1 of a container end by the signals that end others, and reap what it inherits.
void csystem_begin_as_first(void);
/// Undoes that, for what is executed.
void csystem_leave_first(void);

// MARK: Commands

/// Ignores PIPE and XFSZ, so that they come back as EPIPE and EFBIG, and takes no bits from the modes
/// of what is made; remembers what was before, for the commands that are run.
void csystem_prepare_process(void);
/// Lets TERM end this process also where it was started with TERM ignored.
void csystem_obey_termination(void);
/// The process that started this one; 0 where it is outside this PID namespace.
int32_t csystem_parent_at_start(void);
/// Sends this process TERM when the one that started it ends, or has ended.
int64_t csystem_end_with_parent(void);
/// The same for a program that is executed in its place.
int64_t csystem_end_with_parent_in_place(void);
int32_t csystem_parent_has_ended(void);

struct csystem_child {
    char *const *arguments;    // NULL-ended; the first is looked for in PATH
    char *const *environment;  // NULL-ended
    int32_t output;            // its standard output, or -1 for ours
    int32_t signals;           // from csystem_catch_signals, or -1: then it stays in our group
    int32_t apart;             // it gets a process group of its own
    int64_t not_after;         // by the boot clock, ns: later it is not executed (ETIME); INT64_MAX for no time
    // What comes of it:
    int32_t pidfd;
    int32_t group;             // its own process group; 0 for ours
    int32_t execution_failed;  // the error is that it could not be executed
};

/// Starts a command as this process was started: signals, file creation mask. It is killed when the
/// calling thread ends. The result is its process, or why it was not started.
int64_t csystem_spawn(struct csystem_child *child);
/// Executes a command in place of this process, as this process was started. Returns only if that fails.
int64_t csystem_execute(char *const *arguments, char *const *environment);
/// Waits for its end: its exit code, or 256 and the signal that ended it.
int64_t csystem_wait_child(int32_t process);
/// Sends a command a signal, and its group where it has one of its own. 0 also where it has ended; an error
/// where the command itself may not be sent it, whatever the group got.
int64_t csystem_signal_command(int32_t process, int32_t group, int32_t number);
/// Reaps every child that has ended but the command: those that process 1 was given when their parents ended.
void csystem_reap_orphans(void);

/// Starts the process beside a command; see attendant.c. The result is its number. It ends the command after `end`,
/// by the boot clock (ns); INT64_MAX is no time.
int64_t csystem_attend(int32_t apart, int64_t end);
/// Has the attendant end the command later; see deadline.c. KILL follows TERM after `kill_after` ns. 0 where it has
/// sent TERM by then.
int32_t csystem_put_off_deadline(int64_t end, int64_t kill_after);
/// Has the attendant send no TERM any more, and KILL only after what `kill_after` says; 1 where it has sent TERM.
int32_t csystem_take_deadline(int64_t kill_after);
/// Ends it, if there is one.
void csystem_dismiss_attendant(void);
/// A process of that number was reaped.
void csystem_forget_attendant(int32_t process);
/// Whether a signal that we got was sent to the command as well: to its group, or to each process.
int32_t csystem_others_got(int32_t number, int32_t sender);
/// Gives a process that was forked, and executes nothing, a name of its own.
void csystem_rename_process(const char *name);
/// Closes every descriptor from that number on.
void csystem_close_from(uint32_t first);

/// Remembers a descriptor that a program which is executed keeps.
void csystem_note_kept(int32_t file);
/// Starts a process that keeps those descriptors, and what is locked through them, until this process ends;
/// what it executes in its place is the same process. See guardian.c.
int64_t csystem_start_guardian(void);

int64_t csystem_pipe(int32_t ends[2]);
/// How many bytes can be read from a pipe now.
int64_t csystem_readable_bytes(int32_t file);

/// How many characters a line of a terminal has; 0 where it is not known.
int32_t csystem_line_width(int32_t terminal);
/// Bits of those up to 8 files that can be read, or written where that is asked for; also such as have
/// failed. `limit` in ns, or negative for none.
int64_t csystem_poll(const int32_t *files, const int32_t *writing, size_t count, int64_t limit);
/// A variable as NAME=VALUE; NULL after the last.
const char *csystem_environment_at(size_t index);

// MARK: Checks

/// CRC-32C (Castagnoli) of more bytes, in hardware where there is one. Begin with 0.
uint32_t csystem_crc32c(uint32_t crc, const void *bytes, size_t count);
/// The same by table, for machines without the instruction; tests hold the two against each other.
uint32_t csystem_crc32c_by_table(uint32_t crc, const void *bytes, size_t count);

#endif
