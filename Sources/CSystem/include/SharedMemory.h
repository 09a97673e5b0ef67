#pragma once

#include <stddef.h>
#include <stdint.h>

// MARK: Memory that processes share, and waiting for it to change

/// A shared mapping for reading and writing of a file's first bytes; NULL on failure.
void *csystem_map_shared(int32_t file, size_t count);
/// The same of a file that carries locks, opened again: a map keeps its open file, and a copy of the map in a forked
/// child would keep the locks. NULL without /proc too.
void *csystem_map_locked(int32_t file, size_t count);
void csystem_unmap_shared(void *bytes, size_t count);
/// Stores words at a multiple of 16 bytes; the first two, by one instruction, before all others, or behind them. A
/// kill leaves what was stored before it.
void csystem_store_first(uint64_t *words, const uint64_t *from, size_t count);
void csystem_store_last(uint64_t *words, const uint64_t *from, size_t count);
/// Has this process go on when a file that it maps from now on is cut: a handler for BUS, which a library must not
/// take. What was mapped is zeros from then on.
void csystem_survive_cuts(void);
/// Reserves blocks for a file's first `size` bytes, which it has from then on.
int64_t csystem_allocate(int32_t file, int64_t size);
/// Reserves blocks for `size` bytes from `start` on; the file is made longer where it ends before.
int64_t csystem_allocate_range(int32_t file, int64_t start, int64_t size);
uint32_t csystem_load32(const uint32_t *word);
void csystem_increment32(uint32_t *word);
void csystem_store32(uint32_t *word, uint32_t value);
/// Adds, and returns the sum.
uint32_t csystem_add32(uint32_t *word, uint32_t amount);
/// Stores `value` where `expected` stands; 0 where something else does.
int32_t csystem_replace32(uint32_t *word, uint32_t expected, uint32_t value);
/// The same of 64 bits.
int32_t csystem_replace64(int64_t *word, int64_t expected, int64_t value);
/// Each word as a whole, in no order.
void csystem_load_words(const uint64_t *words, uint64_t *into, size_t count);
void csystem_store_words(uint64_t *words, const uint64_t *from, size_t count);
/// Sequentially consistent: no earlier access of this thread is reordered after the load, and no later one
/// before the store.
int64_t csystem_load64(const int64_t *word);
void csystem_store64(int64_t *word, int64_t value);
/// 0 when woken by a wake that has one of the bits, or when the word is not `expected`; -ETIMEDOUT at
/// the boot-clock time `deadline` (ns).
int64_t csystem_futex_wait(uint32_t *word, uint32_t expected, uint32_t bits, int64_t deadline);
void csystem_futex_wake(uint32_t *word, int32_t count, uint32_t bits);
/// A number of the calling thread that no other thread of this process has or had; above 0.
uint64_t csystem_thread_number(void);
/// Starts a detached thread that no signal is delivered to.
int64_t csystem_start_thread(void *(*body)(void *), void *argument);
