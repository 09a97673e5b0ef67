// The same as upload.sh, in Swift: uploads files, each content once across all processes and threads.
//
//   example-uploads STORE SERVICE HASH=FILE...
//
// SERVICE is a directory that stands for the service: an upload makes a file in it, and its name is the id. A real
// program would hash the files itself, with swift-crypto for example.

import FlockCache
import Glibc

@main struct Uploads {
    static func main() {
        let arguments = CommandLine.arguments
        guard arguments.count > 3 else {
            complain("usage: example-uploads STORE SERVICE HASH=FILE...")
            exit(64)
        }
        do {
            let store = try Store(at: arguments[1])
            for argument in arguments.dropFirst(3) {
                let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
                guard parts.count == 2 else { continue }
                let id = try id(of: parts[0], parts[1], arguments[2], in: store)
                print(parts[0], id, parts[1])
            }
        } catch let error as StoreError where error.code == .timedOut {
            complain("somebody has been uploading the file for ten minutes: \(error)")
            exit(75)
        } catch {
            complain("\(error)")
            exit(1)
        }
    }

    /// The id of a content, which is uploaded if nobody has done that yet.
    private static func id(
        of hash: String, _ file: String, _ service: String, in store: Store
    ) throws -> String {
        // Where the closure throws, or this process dies, one of those who wait takes over.
        let id = try store.computeIfAbsent(Store.Key("upload/" + hash), wait: .upTo(.seconds(600)))
        {
            try upload(file, to: service).utf8
        }
        return String(decoding: id, as: UTF8.self)
    }

    struct UploadFailed: Error { let file: String }

    private static func upload(_ file: String, to service: String) throws -> String {
        guard access(file, R_OK) == 0 else { throw UploadFailed(file: file) }
        var path = Array((service + "/id-XXXXXX").utf8CString)
        let descriptor = mkstemp(&path)
        guard descriptor >= 0 else { throw UploadFailed(file: file) }
        close(descriptor)
        return String(decoding: path.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
            .split(separator: "/").last.map(String.init) ?? ""
    }

    private static func complain(_ text: String) {
        let bytes = Array((text + "\n").utf8)
        _ = write(2, bytes, bytes.count)
    }
}
