#include "CSystem.h"

#include <pthread.h>
#include <string.h>

#if __has_include(<sys/platform/x86.h>)
#include <sys/platform/x86.h>
#endif

// CRC-32C, reflected polynomial 0x82f63b78, as in iSCSI (RFC 3720, B.4).

static uint32_t table[256];
static pthread_once_t tabled = PTHREAD_ONCE_INIT;

static void make_table(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t value = byte;
        for (int bit = 0; bit < 8; bit++) value = (value >> 1) ^ (0x82f63b78 & -(value & 1));
        table[byte] = value;
    }
}

static uint32_t by_table(uint32_t crc, const uint8_t *bytes, size_t count) {
    pthread_once(&tabled, make_table);
    while (count-- > 0) crc = (crc >> 8) ^ table[(crc ^ *bytes++) & 0xff];
    return crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2")))
static uint32_t by_instruction(uint32_t crc, const uint8_t *bytes, size_t count) {
    uint64_t wide = crc;
    for (; count >= 8; count -= 8, bytes += 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    while (count-- > 0) crc = __builtin_ia32_crc32qi(crc, *bytes++);
    return crc;
}

// glibc has asked the processor already. Asking again, as the compiler's own __builtin_cpu_supports
// does when a program starts, takes tens of microseconds in a virtual machine.
static int has_instruction(void) {
#if __has_include(<sys/platform/x86.h>)
    return CPU_FEATURE_ACTIVE(SSE4_2);
#else
    return 0;  // glibc before 2.33
#endif
}

#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)

static uint32_t by_instruction(uint32_t crc, const uint8_t *bytes, size_t count) {
    for (; count >= 8; count -= 8, bytes += 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        crc = __builtin_arm_crc32cd(crc, word);
    }
    while (count-- > 0) crc = __builtin_arm_crc32cb(crc, *bytes++);
    return crc;
}

static int has_instruction(void) { return 1; }

#else

static uint32_t by_instruction(uint32_t crc, const uint8_t *bytes, size_t count) {
    return by_table(crc, bytes, count);
}

static int has_instruction(void) { return 0; }

#endif

uint32_t csystem_crc32c(uint32_t crc, const void *bytes, size_t count) {
    return ~(has_instruction() ? by_instruction(~crc, bytes, count) : by_table(~crc, bytes, count));
}

uint32_t csystem_crc32c_by_table(uint32_t crc, const void *bytes, size_t count) {
    return ~by_table(~crc, bytes, count);
}
