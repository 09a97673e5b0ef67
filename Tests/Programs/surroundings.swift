// What the programs of the documentation call and do not show, see SnippetTests.
import FlockCache

func render(_ number: Int) throws -> String { "page \(number)" }
func render(_ number: Int) async throws -> String { "page \(number)" }
func makeReport() -> String { "42 pages" }
func send(_ path: String) throws -> String { "id of \(path)" }
func transfer() throws {}
func transfer() async throws {}
func serve(_ generation: Store.Generation) throws {}
func serve(_ generation: Store.Generation) async throws {}
func deploy(_ key: Store.Key, _ generation: Store.Generation) {}
func compute(_ value: Store.Value?) -> [UInt8]? { value.map { [UInt8]($0) } }

let profile = "profile"
let g: Store.Generation = 1
