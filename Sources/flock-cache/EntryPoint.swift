internal import CArguments
internal import FlockCacheCommand
internal import Glibc

@main
enum EntryPoint {
    // `nonisolated`: otherwise the main actor, and with it the concurrency library, is started first.
    nonisolated static func main() {
        Command.prepareProcess()
        // `CommandLine.arguments` would repair what is not UTF-8; keys and values are bytes.
        var arguments: [[UInt8]] = []
        for index in 1..<max(1, carguments_count()) {
            if let argument = carguments_at(index) { arguments.append(bytes(argument)) }
        }
        let environment = Environment(arguments: arguments, variable: variable)
        exit(Command.end(environment, with: Command.run(environment)))
    }

    nonisolated private static func variable(_ name: StaticString) -> [UInt8]? {
        // A static string ends with NUL.
        let name = UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self)
        return getenv(name).map { bytes($0) }
    }

    nonisolated private static func bytes(_ text: UnsafePointer<CChar>) -> [UInt8] {
        let count = strlen(text)
        return text.withMemoryRebound(to: UInt8.self, capacity: count) {
            [UInt8](UnsafeBufferPointer(start: $0, count: count))
        }
    }
}
