// swift-tools-version: 6.2
//
// The arrows go one way:
//
//   flock-cache → FlockCacheCommand → FlockCache → SystemCalls → CSystem
//
// There are no dependencies, and nothing that ships links Foundation: the static command starts in
// about a millisecond because of that.

import PackageDescription

// Each setting was seen to work with Swift 6.3.1 on Linux.
let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("InferIsolatedConformances"),
    .enableUpcomingFeature("ImmutableWeakCaptures"),
]

// The tests start these thousands of times: so the command takes 4 ms of a processor each time, and 7 otherwise. Who
// depends on the library does not depend on them. Not with a sanitizer (.ci/sanitize): that of addresses takes what the
// runtime frees for wild.
let selfContained: [LinkerSetting] =
    Context.environment["FLOCK_CACHE_SANITIZER"] == nil
    ? [.unsafeFlags(["-static-stdlib"], .when(configuration: .debug))] : []

let package = Package(
    name: "flock-cache",
    products: [
        .library(name: "FlockCache", targets: ["FlockCache"]),
        .executable(name: "flock-cache", targets: ["flock-cache"]),
    ],
    traits: [
        .default(enabledTraits: ["Async"]),
        .trait(
            name: "Async",
            description: """
                The async forms of what waits. The static command is built without them: a program \
                that only links the concurrency library starts 5 % slower.
                """),
    ],
    targets: [
        // What glibc hides from Swift, as calls with fixed arguments.
        .target(name: "CSystem", cSettings: [.define("_GNU_SOURCE")]),
        // Typed system calls and owned descriptors. Knows nothing of stores.
        .target(
            name: "SystemCalls", dependencies: ["CSystem"],
            swiftSettings: strict + [.strictMemorySafety()]),
        // The library.
        .target(
            name: "FlockCache", dependencies: ["SystemCalls"],
            swiftSettings: strict + [.strictMemorySafety()]),
        // The commands, as a library so that tests call them in-process.
        .target(
            name: "FlockCacheCommand", dependencies: ["FlockCache", "SystemCalls"],
            swiftSettings: strict),
        .target(name: "CArguments"),
        .executableTarget(
            name: "flock-cache", dependencies: ["FlockCacheCommand", "CArguments"],
            swiftSettings: strict,
            linkerSettings: selfContained),
        // Measurements, and what they are measured against.
        .target(name: "CFloor", cSettings: [.define("_GNU_SOURCE")]),
        .executableTarget(
            name: "flock-cache-bench", dependencies: ["FlockCache", "SystemCalls", "CFloor"]),

        // Programs as users would write them; the tests run them.
        .executableTarget(
            name: "example-uploads", dependencies: ["FlockCache"], path: "docs/examples/uploads",
            exclude: ["upload.sh"]),
        .executableTarget(
            name: "example-registry", dependencies: ["FlockCache"],
            path: "docs/examples/registry"),
        .executableTarget(
            name: "example-tasks", dependencies: ["FlockCache"], path: "docs/examples/tasks"),
        .executableTarget(
            name: "example-documents", dependencies: ["FlockCache"],
            path: "docs/examples/documents"),

        // Helpers of the tests, and one binary that plays the other processes.
        .target(name: "TestSupport", path: "Tests/Support"),
        .target(name: "CHeap", path: "Tests/Heap"),
        .executableTarget(
            name: "flock-cache-peer",
            dependencies: ["FlockCache", "FlockCacheCommand", "TestSupport", "CHeap"],
            path: "Tests/Peer", linkerSettings: selfContained),
        // What tests of the library share: it sees the library's inside, so it is a test target too.
        .testTarget(
            name: "TestHelpers", dependencies: ["FlockCache", "SystemCalls", "TestSupport"],
            path: "Tests/Helpers"),
        // By speed and means, see docs/contributing.md: no files, then files, then the command in this process,
        // then other processes.
        .testTarget(
            name: "RecordTests",
            dependencies: ["FlockCache", "SystemCalls", "TestSupport", "TestHelpers"]),
        .testTarget(
            name: "LibraryTests",
            dependencies: ["FlockCache", "SystemCalls", "TestSupport", "TestHelpers"]),
        .testTarget(
            name: "CommandTests",
            dependencies: ["FlockCacheCommand", "FlockCache", "TestSupport", "TestHelpers"]),
        // Not dependent on the self-contained programs, which are built with the tests all the same: they would be linked
        // as those are.
        .testTarget(
            name: "ProcessTests",
            dependencies: [
                "FlockCache", "SystemCalls", "TestSupport", "TestHelpers", "example-uploads",
                "example-registry", "example-tasks", "example-documents",
            ]),
    ],
    swiftLanguageModes: [.v6]
)
