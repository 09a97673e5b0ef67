internal import SystemCalls

extension LockFile {
    /// Which of a lock's bytes was locked; nil where none was free, or the file was removed meanwhile.
    @inline(__always)
    borrowing func lock(_ name: LockName, _ mode: HeldLock.Mode) throws(Errno) -> Int? {
        var slot: Int?
        switch mode {
        case .exclusive: slot = try tryLock(.exclusive, at: name.byte) ? 0 : nil
        case .shared: slot = try tryLock(.shared, at: name.byte) ? 0 : nil
        case .slots(let count):
            for index in 0..<count where slot == nil {
                if try tryLock(.exclusive, at: name.byte + index) { slot = index }
            }
        }
        guard let slot else { return nil }
        if try isLinked() { return slot }
        unlock(at: name.byte + slot)
        return nil
    }
}
