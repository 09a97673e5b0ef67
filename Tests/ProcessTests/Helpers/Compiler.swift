#if Async

import Glibc
import TestSupport

/// The compiler, checking small programs against the module that was built.
enum Compiler {
    static let works = path != nil && check("func f(_: Store) {}", []).code == 0

    /// The one on the path of whoever runs the tests.
    private static let path: String? = {
        guard let variable = getenv("PATH") else { return nil }
        let directories = String(cString: variable).split(separator: ":")
        return directories.map { "\($0)/swiftc" }.first { access($0, X_OK) == 0 }
    }()

    static func check(_ source: String, _ settings: [String]) -> Outcome {
        let directory = TemporaryDirectory()
        write(("import FlockCache\n" + source + "\n").utf8, to: directory("source.swift"))
        return check(file: directory("source.swift"), ["-typecheck"] + settings)
    }

    /// The same for a program in a file; `-emit-sil` in place of `-typecheck` also checks what is consumed.
    static func check(file: String, _ settings: [String]) -> Outcome {
        let directory = TemporaryDirectory()
        return run(
            path ?? "swiftc",
            [
                "-swift-version", "6",
                "-module-cache-path", builtProducts + "/ModuleCache",
                "-I", builtProducts + "/Modules",
                "-Xcc", "-fmodule-map-file=" + builtProducts + "/CSystem.build/module.modulemap",
                file,
            ] + settings, environment: ["PATH": "/usr/bin:/bin", "HOME": directory.path])
    }
}

#endif
