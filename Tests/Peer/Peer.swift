import FlockCache

#if canImport(Glibc)
import Glibc
#endif

/// One binary that plays the other processes of a test: a line of standard input is an order, a line of
/// standard output the answer.
///
///     flock-cache-peer STORE
///     claim KEY      → won GENERATION | ready VALUE | pending
///     finalize VALUE → done | error CODE          (the last claim won)
///     abandon        → done | error CODE
///     get KEY        → value VALUE | none
///     exit           ends without giving anything up
@main
struct Peer {
    static func main() throws {
        let store = try Store(at: CommandLine.arguments[1])
        var claim: Claim?
        print("hello")
        fflush(nil)
        while let line = readLine() {
            let words = line.split(separator: " ", maxSplits: 1).map(String.init)
            switch words[0] {
            case "claim":
                switch try store.claim(Store.Key(words[1])) {
                case .won(let won):
                    print("won \(won.generation)")
                    claim = consume won
                case .ready(let entry):
                    print("ready \(String(decoding: entry.value, as: UTF8.self))")
                case .pending: print("pending")
                }
            case "finalize":
                guard let mine = claim.take() else { break }
                do throws(StoreError) {
                    try mine.finalize(words[1].utf8)
                    print("done")
                } catch {
                    print("error \(error.code)")
                }
            case "abandon":
                guard let mine = claim.take() else { break }
                do throws(StoreError) {
                    try mine.abandon()
                    print("done")
                } catch {
                    print("error \(error.code)")
                }
            case "get":
                if let entry = try store.entry(for: Store.Key(words[1])) {
                    print("value \(String(decoding: entry.value, as: UTF8.self))")
                } else {
                    print("none")
                }
            case "exit": _exit(0)
            default: print("what?")
            }
            fflush(nil)
        }
    }
}
