internal import SystemCalls

/// The holder of a claim, kept at hand so that asking whether it lives is one system call.
///
/// Only for those who wait: whoever is about to take a claim over asks anew.
final class HolderWatch {
    private let isThere: () -> Bool

    /// False when it has died; true in doubt.
    var isAlive: Bool { isThere() }

    /// The holder of a key's claim; nil where it cannot be watched like this, or its claim may end by time
    /// alone.
    init?(of name: EntryName, in store: OpenStore) {
        guard let directory = try? store.shardDirectory(name.shard, making: false),
            case .whole(let claim)? = try? store.files.readPending(name, in: directory),
            claim.deadline == nil
        else { return nil }
        switch claim.holder {
        case .nobody: return nil
        case .session(let id):
            guard let locks = try? store.locksDirectory(),
                let session = try? SessionProbe(id, in: locks)
            else { return nil }
            isThere = { session.isAlive }
        case .process(let process):
            guard let here = try? store.place(), claim.place.boot == here.boot,
                claim.place.processNamespace == here.processNamespace,
                let probe = ProcessProbe(process)
            else { return nil }
            isThere = { probe.isAlive }
        }
    }
}

/// A session's byte, seen through a descriptor that holds no lock.
private final class SessionProbe {
    private let id: UInt64
    private let file: File

    init(_ id: UInt64, in locks: Directory) throws(Errno) {
        self.id = id
        file = try SessionLock.openToAsk(of: id, in: locks)
    }

    var isAlive: Bool { (try? SessionLock.isAlive(id, in: file)) ?? true }
}

/// A process's pidfd: it cannot come to mean another.
private final class ProcessProbe {
    private let descriptor: ProcessDescriptor

    init?(_ process: ProcessIdentity) {
        guard process.descriptorInode != nil,
            (try? process.isAlive(sameTimeNamespace: true)) == true,
            let descriptor = try? ProcessDescriptor(process.id),
            (try? descriptor.inode()) == process.descriptorInode
        else { return nil }
        self.descriptor = descriptor
    }

    var isAlive: Bool { (try? descriptor.hasExited()) != true }
}
