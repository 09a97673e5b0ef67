// A web server of which any number of processes run on one machine, with a store in common: each page is rendered once,
// each request is in one journal, and one process at a time sweeps old pages out.
//
//   server STORE PORT
//
// `GET /NAME` answers with a page, `GET /` with the number of requests that all processes have answered. For port 0 the
// system chooses one. TERM ends it, when it has answered what was asked.

import FlockCache
import Glibc

struct Server: Sendable {
    let pages: Store
    let log: Store.Journal

    init(store path: String) throws {
        pages = try Store(at: path, configuration: .init(wait: .seconds(30)))
        log = pages.journal("requests")
    }

    /// Answers requests until the stream ends.
    func serve(_ requests: AsyncStream<Request>) async {
        await withDiscardingTaskGroup { group in
            for await request in requests {
                group.addTask {
                    await request.answer(self.response(to: request.path))
                }
            }
        }
    }

    private func response(to path: String) async -> String {
        do {
            let number = try await log.append(path.utf8)
            if path == "/" { return "\(number) requests\n" }
            // One process renders a page; the others wait for it, and later ones read it.
            let page = try await pages.computeIfAbsent("page" + path, maxAge: .seconds(3600)) {
                try await render(path).utf8
            }
            return String(page)
        } catch let error as StoreError where error.code == .timedOut {
            return "try again: \(error)\n"
        } catch {
            return "failed: \(error)\n"
        }
    }

    private func render(_ path: String) async throws -> String {
        try await Task.sleep(for: .milliseconds(100))
        return "This is \(path), rendered by process \(getpid()).\n"
    }

    /// Sweeps as long as this process has the lease, and waits for it where another one has.
    func sweep() async {
        while !Task.isCancelled {
            do {
                try await pages.withLease("sweeper", timeToLive: .seconds(10), wait: .forever) {
                    _ in
                    while !Task.isCancelled {
                        try await pages.reap(.init(maxAge: .seconds(86400), maxBytes: 1 << 30))
                        try await log.trim(keeping: 1_000_000)
                        try await Task.sleep(for: .seconds(60))
                    }
                }
            } catch is CancellationError {
                return
            } catch {
                print("sweeping: \(error)")
                try? await Task.sleep(for: .seconds(1))  // Cancelled: the loop ends.
            }
        }
    }
}

@main struct Main {
    static func main() async throws {
        guard CommandLine.arguments.count == 3, let port = UInt16(CommandLine.arguments[2]) else {
            print("usage: server STORE PORT")
            exit(64)
        }
        signal(SIGPIPE, SIG_IGN)
        guard let listener = Listener(port: port) else {
            perror("cannot listen")
            exit(1)
        }
        EndSignals.whenOneComes { listener.stop() }
        let server = try Server(store: CommandLine.arguments[1])
        print("listening on 127.0.0.1:\(listener.port)")
        fflush(nil)
        let sweeping = Task { await server.sweep() }
        await server.serve(listener.requests)
        sweeping.cancel()
        await sweeping.value
    }
}
