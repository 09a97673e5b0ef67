internal import FlockCacheCommand
internal import Glibc

@main
enum EntryPoint {
    static func main() {
        Command.prepareProcess()
        // `CommandLine.arguments` would repair what is not UTF-8; keys and values are bytes.
        let arguments = (1..<max(1, Int(CommandLine.argc))).compactMap { index in
            CommandLine.unsafeArgv[index].map(bytes)
        }
        exit(
            Command.run(
                Environment(arguments: arguments) { name in
                    getenv(name.cString).map(bytes)
                }))
    }

    private static func bytes(_ text: UnsafeMutablePointer<CChar>) -> [UInt8] {
        let count = strlen(text)
        return text.withMemoryRebound(to: UInt8.self, capacity: count) {
            [UInt8](UnsafeBufferPointer(start: $0, count: count))
        }
    }
}

extension StaticString {
    /// A static string ends with NUL.
    fileprivate var cString: UnsafePointer<CChar> {
        UnsafeRawPointer(utf8Start).assumingMemoryBound(to: CChar.self)
    }
}
