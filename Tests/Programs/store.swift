// The store of programs in the documentation that do not open one, see SnippetTests.
import FlockCache

let store = open()

private func open() -> Store {
    do { return try Store(at: "/tmp/snippets") } catch { fatalError("\(error)") }
}
