import Glibc

/// Random numbers that can be had again: `FLOCK_CACHE_SEED` sets the seed, and each use prints it.
package struct Seeded: RandomNumberGenerator {
    private var state: UInt64

    /// `test` is printed beside the seed.
    package init(_ test: String) {
        let given = getenv("FLOCK_CACHE_SEED").flatMap { UInt64(String(cString: $0)) }
        state = given ?? UInt64.random(in: 0...UInt64.max >> 1)
        print("\(test): FLOCK_CACHE_SEED=\(state)")
    }

    /// For a process or thread of a test that has a seed already.
    package init(seed: UInt64) { state = seed }

    // SplitMix64, by Sebastiano Vigna (public domain algorithm).
    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}

/// Whether the long form of tests was asked for: `FLOCK_CACHE_LONG_TESTS=1`.
package let wantsLongTests =
    getenv("FLOCK_CACHE_LONG_TESTS").map { String(cString: $0) == "1" } ?? false
