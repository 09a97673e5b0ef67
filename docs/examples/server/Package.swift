// swift-tools-version: 6.2

import PackageDescription

let package = Package(
    name: "server",
    dependencies: [.package(name: "flock-cache", path: "../../..")],
    targets: [
        .executableTarget(
            name: "server", dependencies: [.product(name: "FlockCache", package: "flock-cache")])
    ],
    swiftLanguageModes: [.v6]
)
